"""What we know: pure rules over frozen records, and the changelog-backed tables that keep the facts.

transaction  what is known of one transaction
ordinals     sets of ordinals, and their ranges
rules        the state machine: what each fact makes of it   <- the file to read first
messages     what headers and payloads say, and where they contradict each other
policies     how long a transaction may wait, and what happens then
watermarks   how far all bridges have come: the clock of waiting
deadlines    when to look without a new fact, and what it means that the moment has passed
decisions    what was found out when time had passed: facts, too
due          what a transaction wants done now
missing      what it lacks
accept       what is staged, a payload or a run: new, duplicate or in conflict
contents     what each ordinal of a series contains, and in which blocks
effects      what a transaction wants done
plan         how the blocks of a series are recognised
tiling       which ordinals share a block, as a short text
limits       how large a transaction may be
receipts     facts <-> table rows
projection   a transaction as the public interface shows it
explain      what a transaction waits for, in sentences
"""
