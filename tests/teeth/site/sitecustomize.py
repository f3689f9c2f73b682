"""Found by every Python that is started with this folder in PYTHONPATH: puts the bug of BRH_PLANT into the product.

So it is in the processes that a test starts, too.
"""

import os

if name := os.environ.get("BRH_PLANT"):
    from tests.teeth import bugs

    bugs.plant(name)
