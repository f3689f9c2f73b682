"""Every message that crosses a process boundary, as a frozen struct.

inbound      what producers send on RabbitMQ, and the limits it must keep
wire         the JSON of a header as they write it
events       the facts on Kafka's `brh.events`
outbound     what consumers get: outcome document, CloudEvent, problem
"""
