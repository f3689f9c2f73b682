"""`brh stack` against the real services: what it promises about data, processes and ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from azure.storage.blob import BlobServiceClient

from streams.stack import Stack, StackError, install, lock, ports, programs
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.kafka import Kafka
from streams.stack.process import Process, born
from streams.stack.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(300)  # the first run on a machine fetches Kafka and Azurite

BRH = [sys.executable, "-c", "from streams.cli import main; main()", "stack"]
LARGE_BODY = b"x" * (128 * 1024 * 1024 + 1)  # one more than RabbitMQ takes by default
LARGE_RECORD = b"y" * (7 * 1024 * 1024)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack") / "one")
    try:
        stack.up()
        yield stack
    finally:
        stack.down(wipe=True)


@pytest.fixture
def foreigner() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def pids(stack: Stack) -> dict[str, int | None]:
    return {service.name: service.pid for service in stack.status()}


def is_ready(stack: Stack) -> dict[str, bool]:
    return {service.name: service.ready for service in stack.status()}


def all_(value: bool) -> dict[str, bool]:
    return dict.fromkeys(("rabbitmq", "kafka", "azurite"), value)


def write_message(url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "kept", LARGE_BODY, pika.BasicProperties(delivery_mode=2), mandatory=True)


def read_message(url: str) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        _, _, body = connection.channel().basic_get("kept", auto_ack=True)
        return body


async def write_record(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=2 * len(LARGE_RECORD)) as producer:
        await producer.send_and_wait(topic, LARGE_RECORD)


async def read_record(bootstrap: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=8 * 1024 * 1024) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return (await asyncio.wait_for(consumer.getone(), 30)).value


def write_blob(connection_string: str) -> None:
    with BlobServiceClient.from_connection_string(connection_string) as client:
        client.create_container("kept").upload_blob("blob", b"bytes")


def read_blob(connection_string: str) -> bytes:
    with BlobServiceClient.from_connection_string(connection_string) as client:
        return client.get_blob_client("kept", "blob").download_blob().readall()


def test_all_three_answer_after_up_and_up_again_changes_nothing(stack: Stack) -> None:
    before = pids(stack)
    assert is_ready(stack) == all_(True)
    stack.up()
    assert pids(stack) == before
    assert None not in before.values()


def test_down_and_up_keep_ports_and_data(stack: Stack) -> None:
    env = stack.env()
    asyncio.run(write_record(env["BRH_KAFKA_BOOTSTRAP"], "kept"))
    write_message(env["BRH_AMQP_URL"])
    write_blob(env["BRH_BLOB_CONNECTION_STRING"])  # last: a second later even SIGKILL might find it saved

    stack.down()
    assert is_ready(stack) == all_(False)
    assert all(ports.is_free(port) for port in state_file.load(stack.folder).ports.values())

    stack.up()
    assert stack.env() == env
    assert read_message(env["BRH_AMQP_URL"]) == LARGE_BODY
    assert asyncio.run(read_record(env["BRH_KAFKA_BOOTSTRAP"], "kept")) == LARGE_RECORD
    assert read_blob(env["BRH_BLOB_CONNECTION_STRING"]) == b"bytes"


def test_two_commands_at_once_revive_a_killed_kafka_once_and_leave_the_rest_alone(stack: Stack) -> None:
    before, bootstrap = pids(stack), stack.env()["BRH_KAFKA_BOOTSTRAP"]
    asyncio.run(write_record(bootstrap, "revived"))
    os.kill(before["kafka"], signal.SIGKILL)
    deadline = Deadline(10)
    while pids(stack)["kafka"] is not None and deadline.pause(0.05):
        pass
    assert is_ready(stack) == all_(True) | {"kafka": False}

    command = [*BRH, "up", "--dir", str(stack.folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said.count("started") == 1
    assert said.count("runs already") == 5
    assert is_ready(stack) == all_(True)
    assert pids(stack) | {"kafka": None} == before | {"kafka": None}
    assert asyncio.run(read_record(bootstrap, "revived")) == LARGE_RECORD


def test_a_second_stack_shares_nothing_and_its_end_ends_only_its_own(stack: Stack) -> None:
    before, env = pids(stack), stack.env()
    second = Stack(stack.folder.parent / "two")
    try:
        second.up()
        assert is_ready(second) == all_(True)
        assert not set(pids(second).values()) & set(before.values())
        assert {name for name in env if env[name] == second.env()[name]} == {"BRH_PARTITIONS"}
        epmd = Process(second.folder / "rabbitmq" / "epmd").pid()
    finally:
        second.down(wipe=True)
    assert not second.folder.exists()
    assert epmd is not None
    assert born(epmd) is None
    assert pids(stack) == before
    deadline = Deadline(30)  # a machine that has just run two stacks may answer late
    while is_ready(stack) != all_(True) and deadline.pause(0.5):
        pass
    assert is_ready(stack) == all_(True)


def test_a_shell_that_evaluates_env_passes_it_on(stack: Stack) -> None:
    show = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    script = f'eval "$("$@" env)" && {show}'
    environment = {**os.environ, "BRH_STACK_DIR": str(stack.folder)}
    shell = subprocess.run(
        ["sh", "-c", script, "sh", *BRH], env=environment, capture_output=True, text=True, check=True
    )
    assert stack.env().items() <= json.loads(shell.stdout).items()


def test_status_as_json_names_every_service(stack: Stack) -> None:
    command = [*BRH, "status", "--json", "--dir", str(stack.folder)]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [service["name"] for service in answer["services"]] == ["rabbitmq", "kafka", "azurite"]
    for service in answer["services"]:
        assert set(service) == {"name", "pid", "port", "ready", "version"}
        assert service["ready"]
        assert service["version"]


def test_env_of_no_stack_is_not_found(tmp_path: Path) -> None:
    done = subprocess.run([*BRH, "env", "--dir", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "no-stack" in done.stderr
    assert not done.stdout


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    state = state_file.create(tmp_path)
    with socket.create_server((ports.LOOPBACK, state.ports["kafka"])):
        with pytest.raises(StackError) as caught:
            Kafka(tmp_path, state).ensure(Deadline(1), print)
        assert caught.value.code == "port-taken"
        assert str(state.ports["kafka"]) in str(caught.value)
        assert f"pid {os.getpid()} " in str(caught.value)
    assert not (tmp_path / "kafka").exists()


def test_a_recycled_pid_is_not_signalled(tmp_path: Path, foreigner: subprocess.Popen[bytes]) -> None:
    (tmp_path / "pid").write_text(json.dumps({"pid": foreigner.pid, "born": "an earlier life"}))
    process = Process(tmp_path)
    assert process.pid() is None
    assert not process.stop(grace_s=1)
    assert foreigner.poll() is None


def test_a_process_outlives_the_signals_of_our_terminal_and_gets_all_the_files_it_may(tmp_path: Path) -> None:
    process = Process(tmp_path)
    pid = process.start(["sh", "-c", "ulimit -S -n; ulimit -H -n; echo done; exec sleep 300"], os.environ)
    try:
        deadline = Deadline(10)
        while "done" not in process.last_words() and deadline.pause(0.02):
            pass
        assert os.getsid(pid) == pid != os.getsid(0)
        soft, hard, _ = process.last_words().split()
        assert soft == hard or int(soft) == 2**20
    finally:
        assert process.stop(grace_s=10)
    assert born(pid) is None


def test_stop_insists_when_a_process_ignores_it(tmp_path: Path) -> None:
    process = Process(tmp_path)
    pid = process.start(["sh", "-c", "trap '' TERM; echo deaf; exec sleep 300"], os.environ)
    deadline = Deadline(10)
    while "deaf" not in process.last_words() and deadline.pause(0.02):
        pass
    assert process.stop(grace_s=0.2)
    assert born(pid) is None


def test_the_broker_in_containers_has_the_limits_of_the_stack(tmp_path: Path) -> None:
    def settings(text: str) -> dict[str, str]:
        rows = [line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith("#")]
        return {name: value for name, value in rows if not name.startswith("disk_free_limit")}

    broker = RabbitMQ(tmp_path, state_file.create(tmp_path))
    shipped = Path(__file__).parents[2] / "ops" / "rabbitmq.conf"
    assert settings(shipped.read_text()).items() <= settings(broker.config()).items()


def test_wipe_drops_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    state_file.create(tmp_path)
    (tmp_path / "kafka").mkdir()
    (tmp_path / "mine").touch()
    Stack(tmp_path).down(wipe=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_who_waits_too_long_for_the_lock_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held(tmp_path, said.append):
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        with pytest.raises(StackError) as caught, lock.held(tmp_path, said.append, timeout_s=0.2):
            pass
        assert caught.value.code == "stack-busy"
    finally:
        release.set()
        holder.join()
    assert len(said) == 1


def test_half_an_installation_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_CACHE_DIR", str(tmp_path))
    install.kafka_jars().mkdir()
    monkeypatch.setattr(programs, "npm", lambda: ["sh", "-c", "mkdir -p node_modules/azurite; echo no network; exit 1"])
    with pytest.raises(StackError, match="no network") as caught:
        install.ensure(print)
    assert caught.value.code == "azurite-fetch"
    assert sorted(path.name for path in tmp_path.iterdir()) == [install.kafka_jars().name, "lock"]


def test_jars_that_are_not_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(programs, "maven", lambda: Path("/bin/true"))  # succeeds and delivers nothing
    with pytest.raises(StackError) as caught:
        install.ensure(print)
    assert caught.value.code == "kafka-fetch"
    assert not install.kafka_jars().exists()


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="mvn") as caught:
        install.ensure(print)
    assert caught.value.code == "missing-tool"
    assert "apt-get install" in caught.value.remedy
