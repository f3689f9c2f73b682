/* One transaction, from its messages to its notification, with everything that may die or freeze in between.

   Read it beside the code that it stands for:
     Bridge    bridge/payloads.py, bridge/headers.py        stage, publish, acknowledge
     Tracker   streams/assemble.py, streams/recovery.py     fold, keep rows, ask, commit offsets
     Delivery  streams/courier.py, commit.py, outcome.py,   commit, decide, clean up, tell, mark, report
               clean.py, sweep.py
     Chaos     kills any of them, and gives partitions to others while their owners still work on them (zombies)
     Quiet     what must hold when nothing is left to do

   What is left out: what payloads contain (so no conflicts and no digests), several parts, series, transactions and
   partitions, errors of storage and brokers, and the fences of streams/hardened: a zombie may send here all that it had
   begun. Order within a topic is left out too: a record that is not committed may be read at any time. That allows more
   than Kafka does, so what holds here holds in its order as well.

     python -m tests.model [--scenario NAME] [--mutant NAME]     runs spin, gcc and the search, and prints a failure's way

   Every assertion stands on a line that names its law. A mutant is one mistake in the code; tests/model/test_model.py
   says which law finds it. */

/* What may go wrong: each is a run of its own, because all of it together takes minutes. */
#define PATIENT    1  /* nobody gives up waiting: whatever happens, the result is complete in the end */
#define IMPATIENT  2  /* owners give up at any time, so verdicts contradict each other */
#define LATE       3  /* the same, and a message comes again at any time, until its transaction is forgotten */
#define CRASH_ONLY 4  /* PATIENT, and partitions stay where they are */
#define EVERYTHING 5  /* takes minutes and gigabytes */

/* Mistakes that the laws find. */
#define BRIDGE_ACKS_EARLY       1  /* acknowledge the message before its fact is on Kafka */
#define BRIDGE_PUBLISHES_EARLY  2  /* publish the fact before the bytes are stored */
#define OFFSET_BEFORE_ROWS      3  /* commit offsets while rows are on their way */
#define ONE_ROW_REWRITTEN       4  /* keep one row for a transaction, which every owner overwrites */
#define ASKED_ONCE              5  /* ask for the delivery when the verdict is reached, and not whenever it is due */
#define OUTCOME_UNCONDITIONAL   6  /* write the outcome without If-None-Match */
#define OUTCOME_BEFORE_COMMIT   7  /* decide before the blocks are committed */
#define TELLS_ITS_OWN_VERDICT   8  /* tell what was asked for, and not what is written */
#define TELLS_BEFORE_OUTCOME    9  /* tell before the outcome is written */
#define MARKED_BEFORE_TOLD     10  /* write _told.json before the broker has confirmed */
#define CLEANED_BEFORE_OUTCOME 11  /* remove blocks before an outcome says that nobody needs them */
#define CLEANED_WITHOUT_FENCE  12  /* a bare delete, which leaves what is only staged */
#define NEVER_SWEPT            13  /* nobody looks for what others have left */
#define RESULT_REMOVED_EARLY   14  /* remove a result while messages for it may still come */
/* Mistakes that another layer heals: what the layers are for. */
#define DELIVERY_ACKS_EARLY    15  /* acknowledge the effect before it is carried out */
#define OUTCOME_MEANS_TOLD     16  /* take an outcome that is there for one that was told */
#define CLOSED_BEFORE_TOLD     17  /* report and acknowledge, and only then tell */

#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef BESIDES
#define BESIDES 0     /* a second mistake */
#endif
#define IS(mistake) (MUTANT == mistake || BESIDES == mistake)
#ifndef SCENARIO
#define SCENARIO 0    /* all but EVERYTHING */
#endif

/* Messages, the facts they become, and the rows that keep the facts. */
#define HEADER 1
#define PAYLOAD 2
#define ALL 3         /* what the transaction is made of */
#define AGAIN 8       /* a message and a fact: the payload once more, however late */
#define DELIVERED 16  /* a fact only */
#define EXPIRED 32    /* a row only: the owner has given up waiting */
#define OUTCOME 64    /* a row only: the one that closes a transaction */

/* Verdicts, outcomes, and bits of effects that ask for them. */
#define NOTHING 0
#define COMPLETED 1
#define ABANDONED 2

/* What is in the place of the one part. */
#define EMPTY 0
#define RESULT 1
#define FENCE 2

/* RabbitMQ. */
byte queue = HEADER | PAYLOAD;
bool told_completed, told_abandoned;
/* Kafka: records behind the committed offsets, and the rows in the changelog. */
byte events, effects, rows;
byte tracker_owner, delivery_owner;
bool tracker_given[2], delivery_given[2];  /* in this generation of the group: no more when it has moved */

/* Storage. */
bool staged;          /* the payload's block, uncommitted */
byte part, version;
byte outcome;
bool told;
byte useless;         /* sweeps since the last block was staged that have left garbage behind */
#define USELESS 3     /* one of each worker may have begun before; more would do the same again, for ever */
byte held[2];         /* the version of the part that a delivery is about to delete */

/* The world. */
bool timeouts;        /* owners give up waiting, and forget what is closed */
bool zombies;         /* a tracker has lost its partition while it was at work */
byte crashes, tracker_moves, delivery_moves;  /* that may still happen, and must before anything can be quiet */

/* One step: everything within happens at once, or the process dies before it. */
#define STEP(what) if :: atomic { what } :: atomic { CRASH; goto died } fi
#define CRASH crashes -> crashes--

inline choose(from, into) {
  if
  :: from & 1  -> into = 1
  :: from & 2  -> into = 2
  :: from & 8  -> into = 8
  :: from & 16 -> into = 16
  fi
}

/* ------------------------------------------------------------------------------------------------ the bridge */

inline stage(message) {
  if
  :: message == HEADER
  :: else -> staged = true; useless = 0
  fi
}

inline pick() {
  if
  :: queue == AGAIN -> message = AGAIN
  :: queue & HEADER -> message = HEADER
  :: queue & PAYLOAD -> message = PAYLOAD
  fi
}

proctype Bridge() {
  byte message;
begin:
#if IS(BRIDGE_PUBLISHES_EARLY)
  atomic { queue -> pick(); events = events | message };
  STEP(stage(message));
#else
  atomic { queue -> pick(); stage(message) };
#if IS(BRIDGE_ACKS_EARLY)
  STEP(queue = queue & ~message);
#endif
  STEP(events = events | message);
#endif
  STEP(queue = queue & ~message);
died:
  atomic { message = 0; goto begin }
}

/* ------------------------------------------------------------------------------------------------ the tracker */

inline judge() {
  if
  :: verdict == NOTHING && (known & ALL) == ALL -> verdict = COMPLETED; asking = asking | COMPLETED
  :: else
  fi
}

inline keep(row) {
#if IS(ONE_ROW_REWRITTEN)
  writing = (closed -> OUTCOME : known)
#else
  if
  :: (rows | writing) & row
  :: else -> writing = writing | row
  fi
#endif
}

inline leave() {
  tracker_given[me] = false; closed = false; known = 0; verdict = NOTHING; read = 0; writing = 0; asking = 0; fact = 0
}

/* As soon as everything that was sent has arrived: whatever is taken again changes nothing. */
inline commit() {
  if
#if !IS(OFFSET_BEFORE_ROWS)
  :: writing || asking
#endif
  :: else ->
       if
       :: tracker_given[me] -> events = events & ~read; read = 0
       :: else -> leave()  /* Kafka refuses the commit */
       fi
  fi
}

inline take() {
  choose(events & ~read, fact);
  read = read | fact;
  if
  :: closed                        /* late */
  :: !closed && fact == DELIVERED -> closed = true; verdict = NOTHING; known = 0; keep(OUTCOME)
  :: !closed && fact != DELIVERED ->
       if
       :: fact == AGAIN -> fact = PAYLOAD
       :: else
       fi;
       known = known | fact;
       keep(fact);
       judge()
  fi;
  fact = 0;
  commit()
}

/* The rows, in the order of their offsets: what this model does not know is which came first, so either may have. */
inline recover() {
  tracker_given[me] = true;
  closed = (rows & OUTCOME) != 0;
  known = (closed -> 0 : rows);
  if
  :: known & EXPIRED -> verdict = ABANDONED
  :: (known & ALL) == ALL -> verdict = COMPLETED
  :: !(known & EXPIRED) && (known & ALL) != ALL -> verdict = NOTHING
  fi
}

#define BUSY (known || closed || read || writing || asking)

proctype Tracker(byte me) {
  byte known, verdict, fact;
  bool closed;
  byte read;            /* facts taken, whose offsets are not committed */
  byte writing, asking; /* rows and effects on their way to Kafka */
  do
  :: atomic { tracker_owner == me && !tracker_given[me] && !BUSY -> recover() }
  :: atomic { tracker_given[me] && (events & ~read) -> take() }
  :: atomic { timeouts && tracker_given[me] && known && verdict == NOTHING ->
       verdict = ABANDONED; known = known | EXPIRED; keep(EXPIRED); asking = asking | ABANDONED }
#if !IS(ASKED_ONCE)
  :: atomic { tracker_given[me] && !closed && !(events & DELIVERED) && (verdict & ~(effects | asking)) -> asking = asking | verdict }
#endif
  :: atomic { asking -> effects = effects | asking; asking = 0; commit() }
#if IS(ONE_ROW_REWRITTEN)
  :: atomic { writing -> rows = writing; writing = 0; commit() }
#else
  :: atomic { writing -> rows = rows | writing; writing = 0; commit() }
#endif
  :: atomic { tracker_given[me] && closed && !writing && (rows & OUTCOME) && rows != OUTCOME -> rows = OUTCOME }
  :: atomic { timeouts && tracker_given[me] && closed && !writing && !read && rows == OUTCOME && !(events | (queue & ~AGAIN)) ->
       rows = 0; closed = false;  /* two weeks later: forgotten */
#if IS(RESULT_REMOVED_EARLY)
       if :: queue -> outcome = NOTHING; told = false; part = EMPTY :: else fi
#endif
     }
  :: atomic { !tracker_given[me] && BUSY -> leave() }
  :: atomic { (tracker_given[me] || BUSY) && CRASH; leave() }
  od
}

/* ------------------------------------------------------------------------------------------------ the delivery */

inline new_version() {
  version = 1;
  do
  :: version == held[0] || version == held[1] -> version++
  :: else -> break
  od
}

inline create(what) {
  part = what; staged = false; new_version()
}

inline decide() {
  if
  :: outcome == NOTHING || IS(OUTCOME_UNCONDITIONAL) ->
       assert(outcome == NOTHING || outcome == effect);  /* law: an outcome never changes */
       outcome = effect
  :: else
  fi;
  decided = outcome
}

/* Somebody may have decided otherwise, and taken away what was to be committed. */
inline find_again() {
  decided = outcome;
  assert(decided)                                      /* law: what was accepted is there until an outcome lets it go */
}

inline tell() {
#if IS(TELLS_ITS_OWN_VERDICT)
  if :: effect -> decided = effect :: else fi;
#endif
  assert(decided == outcome);                          /* law: what is told is what is written */
  assert(decided != COMPLETED || part == RESULT);      /* law: a completed result can be read */
  if
  :: decided == COMPLETED -> told_completed = true
  :: decided == ABANDONED -> told_abandoned = true
  fi;
  assert(!(told_completed && told_abandoned))          /* law: one verdict is told */
}

inline acknowledge() {
  if
  :: delivery_given[me] -> effects = effects & ~effect
  :: else
  fi
}

#define GARBAGE (outcome == ABANDONED && (staged || part != EMPTY))

proctype Delivery(byte me) {
  byte effect, decided;
  bool sweeps;
begin:
  if
  :: atomic { delivery_owner == me && effects ->
       delivery_given[me] = true;
       choose(effects, effect);
#if IS(DELIVERY_ACKS_EARLY)
       acknowledge();
#endif
       decided = outcome;
#if IS(OUTCOME_MEANS_TOLD)
       if :: decided -> goto report :: else fi;
#endif
       if :: decided -> goto follow :: else fi }
#if !IS(NEVER_SWEPT)
  :: atomic { delivery_owner == me && !effects && outcome && !told -> decided = outcome; goto follow }
  :: atomic { delivery_owner == me && !effects && told && GARBAGE && useless < USELESS -> decided = outcome; sweeps = true; goto clean }
#endif
  fi;
#if IS(OUTCOME_BEFORE_COMMIT)
  STEP(decide());
#endif
  if
  :: effect == ABANDONED -> goto assembled
  :: else
  fi;
  /* look at the part, and at the list of its blocks */
  STEP(
    if
    :: part == RESULT -> goto assembled
    :: part == FENCE -> goto differs
    :: part == EMPTY && !staged -> goto differs
    :: else
    fi);
  /* Put Block List */
  STEP(
    if
    :: part == RESULT
    :: part == FENCE -> goto differs
    :: part == EMPTY && staged -> create(RESULT)
    :: part == EMPTY && !staged -> goto differs
    fi;
    goto assembled);
differs:
  STEP(find_again(); goto follow);

assembled:
#if IS(TELLS_BEFORE_OUTCOME)
  STEP(decided = effect; tell());
#endif
#if IS(CLEANED_BEFORE_OUTCOME)
  STEP(if :: effect == ABANDONED -> part = EMPTY; staged = false :: else fi);
#endif
  STEP(decide());

follow:
#if IS(CLOSED_BEFORE_TOLD)
  STEP(events = events | DELIVERED);
  STEP(acknowledge());
#endif
  if :: decided == COMPLETED -> goto announce :: else fi;
clean:
  STEP(
    if
    :: part == EMPTY && !staged -> goto cleaned
#if IS(CLEANED_WITHOUT_FENCE)
    :: part == EMPTY && staged -> goto cleaned
#else
    :: part == EMPTY && staged -> create(FENCE)
#endif
    :: else
    fi;
    held[me] = version);
  STEP(
    if
    :: part != EMPTY && version == held[me] -> part = EMPTY; staged = false; version = 0
    :: part != EMPTY && version != held[me] -> held[me] = 0; goto clean
    :: else
    fi;
    held[me] = 0);
cleaned:
  if
  :: atomic { sweeps -> useless = useless + GARBAGE; goto died }
  :: else
  fi;
announce:
  STEP(if :: told -> goto report :: else fi);
#if IS(MARKED_BEFORE_TOLD)
  STEP(told = true);
  STEP(tell());
#else
  STEP(tell());
  STEP(told = true);
#endif
report:
  STEP(events = events | DELIVERED);
  STEP(acknowledge());
died:
  atomic { effect = 0; decided = 0; sweeps = false; held[me] = 0; goto begin }
}

/* ------------------------------------------------------------------------------------------------ the world */

proctype Chaos() {
  do
  :: atomic { tracker_moves -> tracker_moves--; zombies = true;
       tracker_owner = 1 - tracker_owner; tracker_given[0] = false; tracker_given[1] = false }
  :: atomic { delivery_moves -> delivery_moves--;
       delivery_owner = 1 - delivery_owner; delivery_given[0] = false; delivery_given[1] = false }
  od
}

proctype Quiet() {
  timeout ->
    assert(!queue && !events && !effects);                /* law: everything is read */
#if !IS(RESULT_REMOVED_EARLY)
    assert(outcome);                                      /* law: everything is decided */
    assert(told && (told_completed || told_abandoned));   /* law: somebody was told */
#endif
    assert(outcome != COMPLETED || part == RESULT);       /* law: a completed result can be read */
    assert(outcome != ABANDONED || !GARBAGE);             /* law: what belongs to no outcome is gone */
    assert(timeouts || rows == OUTCOME || zombies && rows & OUTCOME); /* law: a closed transaction is known as such */
    assert(zombies || !(rows & ~OUTCOME));                /* law: of what is closed one row is left */
    assert(timeouts || outcome == COMPLETED)              /* law: nobody is abandoned for a fault of ours */
}

inline up_to(most, into) {
  do
  :: into < most -> into++
  :: break
  od
}

init {
  atomic {
    if
#if SCENARIO == 0 || SCENARIO == PATIENT
    :: up_to(1, crashes); if :: up_to(1, tracker_moves) :: up_to(1, delivery_moves) fi
#endif
#if SCENARIO == CRASH_ONLY
    :: up_to(1, crashes)
#endif
#if SCENARIO == 0 || SCENARIO == IMPATIENT
    :: timeouts = true; if :: up_to(1, crashes); up_to(1, delivery_moves) :: up_to(1, tracker_moves) fi
#endif
#if SCENARIO == 0 || SCENARIO == LATE
    :: timeouts = true; queue = queue | AGAIN; up_to(1, crashes)
#endif
#if SCENARIO == EVERYTHING
    :: timeouts = true; up_to(1, crashes); up_to(1, delivery_moves); up_to(1, tracker_moves)
    :: up_to(2, crashes); up_to(1, delivery_moves); up_to(1, tracker_moves)
    :: timeouts = true; queue = queue | AGAIN; up_to(1, crashes); up_to(1, delivery_moves)
#endif
    fi;
    run Bridge(); run Tracker(0); run Tracker(1); run Delivery(0); run Delivery(1); run Chaos(); run Quiet()
  }
}
