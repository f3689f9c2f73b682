"""What we do: the two Faust apps, the API and the command line.

app          the tracker's Faust app: tables, agent, clock
hardened     the only place that touches Faust's private surface
topics       every Kafka topic on one screen
assemble     facts -> tables -> effects
delivery     the second Faust app: commit, decide, notify
api          the HTTP interface of every tracker
stack        real brokers as local processes
cli          the `brh` command
"""
