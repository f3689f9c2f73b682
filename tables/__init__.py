"""What we know: pure rules over frozen records, and the changelog-backed tables that keep the facts.

transaction  what is known of one transaction
ordinals     sets of ordinals, and their ranges
rules        the state machine: advance, due, deadline   <- the file to read first
accept       one staged payload: new, duplicate or in conflict
contents     what each ordinal of a series contains
effects      what a transaction wants done
receipts     facts <-> table rows
projection   a transaction as the public interface shows it
explain      what a transaction waits for, in sentences
"""
