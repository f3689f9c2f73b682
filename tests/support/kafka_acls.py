"""`kafka-acls.sh --add` without its jar, which the stack has no use for: the same words, the same request.

ops/kafka-acls.sh runs it as `python -m tests.support.kafka_acls BOOTSTRAP`; what it does not know is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

# As Kafka's protocol numbers them.
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
TOPIC, GROUP = 2, 3
PATTERNS = {"literal": 3, "prefixed": 4}
ALLOW = 3


class Acl(NamedTuple):
    """One binding, as the request has it."""

    kind: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int


def wanted(words: list[str]) -> Iterator[Acl]:
    """What a command line asks for."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", required=True, choices=OPERATIONS)
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--resource-pattern-type", default="literal", choices=PATTERNS)
    given = parser.parse_args(words)
    pattern = PATTERNS[given.resource_pattern_type]
    for kind, names in ((TOPIC, given.topic), (GROUP, given.group)):
        for name in names:
            for operation in given.operation:
                yield Acl(kind, name, pattern, given.allow_principal, "*", OPERATIONS[operation], ALLOW)


async def add(bootstrap: str, acls: Iterator[Acl]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for acl in acls:
            answer = await admin._send_to_controller(CreateAclsRequest(*acl))
            ((code, message),) = answer.creation_responses
            assert code == 0, f"{acl}: {code} {message}"
    finally:
        await admin.close()


if __name__ == "__main__":
    asyncio.run(add(sys.argv[1], wanted(sys.argv[2:])))
