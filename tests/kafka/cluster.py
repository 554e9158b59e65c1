"""Writes to a cluster as another program would: cluster.py BROKERS COMMAND ARGUMENT..., with KAFKA_USER and KAFKA_PASSWORD in the environment
where it asks for them, and KAFKA_TLS, the folder of its authority's ca.pem, where it has a certificate."""

import json
import os
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient, NewTopic

brokers, command, *arguments = sys.argv[1:]
settings = {"bootstrap.servers": brokers}
protocol = "plaintext"
if os.environ.get("KAFKA_TLS"):
    protocol = "ssl"
    settings |= {"security.protocol": protocol, "ssl.ca.location": os.environ["KAFKA_TLS"] + "/ca.pem"}
if os.environ.get("KAFKA_USER"):
    settings |= {
        "security.protocol": f"sasl_{protocol}",
        "sasl.mechanism": "PLAIN",
        "sasl.username": os.environ["KAFKA_USER"],
        "sasl.password": os.environ["KAFKA_PASSWORD"],
    }


def done(futures):
    for future in futures.values():
        future.result()


def create(topic, partitions):
    admin = AdminClient(settings)
    # A topic that was deleted a moment ago may still be there.
    for again in range(100):
        try:
            return done(admin.create_topics([NewTopic(topic, num_partitions=int(partitions), replication_factor=1)]))
        except Exception as error:
            if again == 99 or "already exists" not in str(error):
                raise
            time.sleep(0.1)


def delete(topic):
    admin = AdminClient(settings)
    done(admin.delete_topics([topic], operation_timeout=10))


def send(topic, pause="0"):
    """Records as JSON lines: partition, key, value (null: none), hex (bytes instead of value), time (ms); waits until all are acknowledged."""
    producer = Producer(settings | {"enable.idempotence": True, "compression.type": "zstd", "message.timeout.ms": 120000})
    failed = []
    told = lambda error, message: error and failed.append(error)
    for line in sys.stdin:
        record = json.loads(line)
        value = bytes.fromhex(record["hex"]) if "hex" in record else record["value"]
        more = {"timestamp": record["time"]} if "time" in record else {}
        producer.produce(topic, value, record.get("key"), record.get("partition", 0), on_delivery=told, **more)
        producer.poll(float(pause))
    producer.flush(120)
    assert not failed, failed[0]


def committed(group, topic):
    admin = AdminClient(settings)
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    offsets = {p.partition: p.offset for p in future.result().topic_partitions if p.topic == topic}
    print(json.dumps(offsets))


def read(topic):
    """All records that the topic holds, as JSON lines: partition, key, value, headers."""
    consumer = Consumer(settings | {"group.id": "reads", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    began, heard = time.time(), time.time()
    while time.time() - heard < 2 or (time.time() - began < 20 and not consumer.assignment()):
        message = consumer.poll(0.2)
        if message is None or message.error():
            continue
        heard = time.time()
        key = message.key() and message.key().decode()
        headers = {name: value.decode() for name, value in message.headers() or []}
        print(json.dumps({"partition": message.partition(), "key": key, "value": json.loads(message.value()), "headers": headers}))
    consumer.close()


{"create": create, "delete": delete, "send": send, "committed": committed, "read": read}[command](*arguments)
