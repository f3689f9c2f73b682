"""The edge: everything that crosses the process boundary between RabbitMQ, Azure Blob Storage and Kafka.

contract/    every message we accept or emit, as frozen structs, with the limits
envelope     AMQP properties and headers -> contract, or Rejected (pure)
layout       blob names, block ids, sizes (pure)
runs         which small payloads share a block (pure)
frames       AMQP frames -> messages whose bodies go straight to their memory (no I/O)
lane         one consumer on one connection; lanes keeps a number of them open
memory       all memory for bodies, below one limit; inflow fills it
blobs        Azure Blob Storage, as much of it as we use
staging      a payload body -> uncommitted blocks; gathering does it for small ones together
payloads     stage, publish, acknowledge: in that order; headers does it for headers
hold         patience while a system is sick
service      the bridge process
"""
