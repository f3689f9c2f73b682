"""A Faust app whose committed offsets follow its records: the only place that touches Faust's private surface.

Measured on faust-streaming 0.15.3 with aiokafka 0.14.0; both are pinned exactly because of this package.

strict flush    Stock Faust commits source offsets while changelog records are still on their way, and commits them
                even when such a record has failed. Here a commit waits for every record that was handed over before
                it, and a failed record ends the process.
agent failure   Stock Faust acknowledges the event on which an agent raised. Here the process ends without a commit,
                and the event is read again.
late ack        Stock Faust commits past an event that is not acknowledged yet when those behind it are: past one, or
                past any number in a group without committed offsets. Here it waits for it.
start of flow   At the end of a recovery stock Faust lets events flow, seeks to the committed offsets, and then empties
                its queues: an event that was queued in between is lost, and its offset is committed all the same
                (measured with 20 events waiting: 7 of 59 starts lost one). Here nothing flows until the queues have
                been emptied.
backlog         For a moment in a recovery no partition is active. Stock Faust then asks the client for the records of
                none, which the client takes for all, and drops them; a group without committed offsets never goes
                back (measured with the flow already held: 5 of 20 starts read nothing of what was waiting). Here none
                means none, and without a committed offset a partition is read from its beginning.
table views     Stock Faust's fail until a worker has written to the changelog; here they find the row's owner at once.
ghost rows      Stock Faust's memory store keeps the rows of partitions that have gone to other workers, and its table
                views show them. Here they are dropped when a recovery ends.
fence           Kafka takes records of a member that was put out of its group. Here a worker that stood still, whose
                heartbeats are not accepted or whom the group does not know any more sends no row, and ends itself.
static member   A worker with a stable name takes its partitions back at once when it is started again. Stock Faust
                waits for ever when its address is another one then; here it joins anew.
progress        Stock Faust falls silent in many ways and looks healthy. Here a worker that makes no progress while
                something waits for it ends itself.
recovery        Stock Faust waits for ever for the last offsets of a changelog when they hold no record, but the marker
                of a transaction. Here the log is asked, and the recovery goes on.
start           Stock Faust ends when Kafka cannot be reached. Here it waits. It takes part whatever topics there are;
                here it ends when one has another number of partitions than was said, and waits for one that is missing.

Every end is `os._exit`: no clean-up code runs, so nothing is committed on the way out. A supervisor starts the process
again.
"""

from streams.hardened.app import HardenedApp, drop_ghosts
from streams.hardened.ends import (
    EXIT_AGENT,
    EXIT_FENCE,
    EXIT_FROZEN,
    EXIT_SEND,
    EXIT_STALLED,
    EXIT_SURROUNDINGS,
    end_process,
)
from streams.hardened.lag import lags
from streams.hardened.limits import Limits
from streams.hardened.standing import standing

__all__ = [
    "EXIT_AGENT",
    "EXIT_FENCE",
    "EXIT_FROZEN",
    "EXIT_SEND",
    "EXIT_STALLED",
    "EXIT_SURROUNDINGS",
    "HardenedApp",
    "Limits",
    "drop_ghosts",
    "end_process",
    "lags",
    "standing",
]
