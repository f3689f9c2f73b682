"""Every message that crosses a process boundary, as a frozen struct.

inbound      what producers send on RabbitMQ, and the limits it must keep
events       the facts on Kafka's `brh.events`
outbound     what consumers get: outcome document, CloudEvent, problem
"""
