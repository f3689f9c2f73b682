"""What we know: pure rules over frozen records, and the changelog-backed tables that keep the facts.

transaction  what is known of one transaction
ordinals     sets of ordinals, and their ranges
rules        the state machine: advance, due, deadline   <- the file to read first
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
