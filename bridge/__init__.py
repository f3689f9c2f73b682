"""The edge: everything that crosses the process boundary between RabbitMQ, Azure Blob Storage and Kafka.

contract/    every message we accept or emit, as frozen structs, with the limits
envelope     AMQP properties and headers -> contract, or Rejected (pure)
layout       blob names, block ids, sizes (pure)
blobs        Azure Blob Storage, as much of it as we use
staging      a payload body -> uncommitted blocks
intake       stage, produce, acknowledge: in that order
service      the bridge process
"""
