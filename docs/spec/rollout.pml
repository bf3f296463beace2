/*
 * The rollout machine of one channel, small enough for every interleaving to be tried:
 * leaders, data centers, and reports that are lost, late and out of order. README.md says
 * what is left out, and what each property means in terms of package rollout.
 *
 * Built with one of NOFENCE, NOSEQUENCE, NOGATE, PIPELINE or KEEPTARGETS it lacks one rule,
 * and the check must fail.
 */

#ifndef WAVES
#define WAVES    2
#endif
#define DCS      WAVES /* data center d is the whole of wave d */
#ifndef CHANGES
#define CHANGES  2 /* changes that customers make */
#endif
#define RELEASES 6 /* numbers that may be given; 0 is genesis */
#ifndef ELECTIONS
#define ELECTIONS 1 /* leaders that die or are cut off */
#endif
#ifndef FAULTS
#define FAULTS   1 /* reports that arrive late */
#endif

/* What a change does to a server: nothing, harm at once, harm after every gate. */
#define FINE 0
#define BAD  1
#define LATE 2

/* Where a change is. */
#define DESIRED     0 /* not in any live release */
#define RELEASED    1
#define QUARANTINED 2

/* The life of a release. Between SEALED and GOOD its stage says where it is. */
#define NONE      0
#define ALIVE     1
#define GOOD      2
#define ABANDONED 3

/* What a server says of the order it acted on. */
#define NOTHING  0
#define APPLIED  1
#define ATTESTED 2 /* healthy for the whole bake */
#define HURT     3

/* ---- etcd: what survives leaders. One commit changes it, or none does. ---- */
byte term = 1;
byte last;              /* the last number given */
byte head;              /* the newest release that is not abandoned */
byte lkg;               /* last known good */
byte phase[RELEASES];
byte stage[RELEASES];   /* 2w: waits for wave w; 2w+1: bakes in it; 2*WAVES: LIVE */
byte brings[RELEASES];  /* the change in a release */
byte where[CHANGES];
byte target[DCS];
byte sequence[DCS];

/* ---- the truth about changes, which nobody knows before ---- */
byte kind[CHANGES];

/* ---- servers ---- */
byte acted[DCS];        /* the sequence that the server acted on */
byte serves[DCS];       /* and its release */
byte state[DCS];
byte culprit[DCS];      /* the release that hurt it */
/* what it said before that, which may still be under way */
byte oldActed[DCS];
byte oldState[DCS];
byte oldCulprit[DCS];

/* ---- what the leader heard of every server; the next one begins with nothing ---- */
byte heard[DCS];
byte said[DCS];
byte blamed[DCS];

byte faults;
byte elections;

#define live(r) (r != 0 && (phase[r] == ALIVE))
#define harmsLate(r, n) (n <= r && phase[n] == ALIVE && kind[brings[n]] == LATE && stage[n] == 2*WAVES)
/* Nobody could see this harm while the gates were open. */
#define lateHarm(r) (harmsLate(r, 1) || harmsLate(r, 2) || harmsLate(r, 3) || harmsLate(r, 4) || harmsLate(r, 5))
#define inWave(r, w) (live(r) && stage[r] == 2*(w)+1)

/* found is the oldest live release up to r with a change of a kind; 0 where there is none. */
inline oldest(r, what, found) {
	found = 0;
	n = 1;
	do
	:: n > r -> break
	:: else ->
		if
		:: found == 0 && n <= r && phase[n] == ALIVE && kind[brings[n]] == what -> found = n
		:: else -> skip
		fi;
		n++
	od;
	n = 0
}

/* before is the newest release below r that is not abandoned. */
inline parent(r, before) {
	before = r - 1;
	do
	:: phase[before] == ABANDONED -> before--
	:: else -> break
	od
}

inline remember(d) {
	if
	:: faults > 0 -> oldActed[d] = acted[d]; oldState[d] = state[d]; oldCulprit[d] = culprit[d]
	:: else -> oldActed[d] = 0; oldState[d] = 0; oldCulprit[d] = 0
	fi
}

/* One server, for a data center: the agent and its data plane. */
proctype Agent(byte d) {
	byte n, bad;
end:	do
	:: d_step { acted[d] != sequence[d] ->
		/* Only the newest target counts; those between are never seen. */
		remember(d);
		acted[d] = sequence[d]; serves[d] = target[d];
		oldest(serves[d], BAD, bad);
		culprit[d] = bad;
		state[d] = (bad -> HURT : APPLIED);
		bad = 0
	}
	:: d_step { acted[d] == sequence[d] && state[d] == APPLIED ->
		remember(d);
		state[d] = ATTESTED
	}
	:: d_step { acted[d] == sequence[d] && (state[d] == APPLIED || state[d] == ATTESTED) && lateHarm(serves[d]) ->
		remember(d);
		oldest(serves[d], LATE, bad);
		state[d] = HURT; culprit[d] = bad;
		bad = 0
	}
	od
}

/* What leaders want to do. */
#define SEAL    1
#define OPEN    2
#define PASS    3
#define CONVICT 4
#define PRAISE  5

/* The properties that every commit must leave behind. */
inline check() {
	d = 0;
	do
	:: d < DCS ->
		assert(phase[target[d]] != ABANDONED);                /* targets name live releases only */
		d++
	:: else -> break
	od;
	assert(phase[lkg] == GOOD);                                   /* last known good is intact */
	w = 0;
	do
	:: w < WAVES ->
		c = 0; n = 1;
		do
		:: n < RELEASES -> c = c + (inWave(n, w) -> 1 : 0); n++
		:: else -> break
		od;
		assert(c <= 1);                                       /* one release in a wave */
		w++
	:: else -> break
	od;
	d = 0; w = 0; c = 0; n = 0
}

inline seal() {
	last++;
	phase[last] = ALIVE; stage[last] = 0; brings[last] = arg;
	where[arg] = RELEASED;
	head = last
}

inline open() {
	w = stage[arg] / 2;
	/* never an ungated second wave: what hurts at once stays in the first one */
	oldest(arg, BAD, c);
	assert(c == 0 || w == 0);
	assert(phase[arg] == ALIVE && stage[arg] % 2 == 0 && target[w] < arg);
	c = 0;
	stage[arg]++;
	target[w] = arg; sequence[w]++;
	w = 0
}

inline pass() {
	w = stage[arg] / 2;
	/* the gate is honest: the data center did bake this release */
	assert(target[w] == arg && acted[w] == sequence[w] && serves[w] == arg && state[w] >= ATTESTED);
	stage[arg]++;
	w = 0
}

inline convict() {
	if
	:: stage[arg] == 2*WAVES -> c = lkg /* behind the gates all goes that did not soak */
	:: else -> parent(arg, c)
	fi;
	n = c + 1;
	do
	:: n <= last ->
		if
		:: phase[n] == ALIVE ->
			phase[n] = ABANDONED;
			/* what went with it hurt nobody, and is sealed anew */
			where[brings[n]] = (n == arg -> QUARANTINED : DESIRED)
		:: else -> skip
		fi;
		n++
	:: else -> break
	od;
	head = c;
	d = 0;
	do
	:: d < DCS ->
		if
		:: target[d] > c ->
#ifndef KEEPTARGETS
			target[d] = c; sequence[d]++
#else
			skip
#endif
		:: else -> skip
		fi;
		d++
	:: else -> break
	od;
	d = 0; n = 0; c = 0
}

inline praise() {
	n = 1;
	do
	:: n <= arg ->
		assert(phase[n] != ALIVE || kind[brings[n]] == FINE); /* nothing that hurts */
		phase[n] = (phase[n] == ALIVE -> GOOD : phase[n]);
		n++
	:: else -> break
	od;
	assert(arg > lkg && phase[arg] == GOOD);              /* it only moves to descendants */
	lkg = arg;
	n = 0
}

#define idle (own == term && plan == 0)

#define news(d) (heard[d] != acted[d] || said[d] != state[d])
#define olds(d) (faults > 0 && (heard[d] != oldActed[d] || said[d] != oldState[d]))
inline hear(d) { d_step { heard[d] = acted[d]; said[d] = state[d]; blamed[d] = culprit[d] } }
inline mishear(d) { d_step { faults--; heard[d] = oldActed[d]; said[d] = oldState[d]; blamed[d] = oldCulprit[d] } }

/* A change is wanted, and the first wave is free. */
#define canSeal(c) (where[c] == DESIRED && last < RELEASES-1 && \
	(head == 0 || phase[head] == GOOD || stage[head] >= 2))

/* A release may enter its next wave when all before it passed that. */
#ifdef PIPELINE
#define clear(n, r) true
#else
#define clear(n, r) (n >= r || phase[n] != ALIVE || stage[n] >= stage[r] + 2)
#endif
#define canOpen(r) (live(r) && stage[r] < 2*WAVES && stage[r] % 2 == 0 && \
	clear(1, r) && clear(2, r) && clear(3, r) && clear(4, r))

/* A gate needs an attestation that is about the order to serve this release. */
#ifdef NOSEQUENCE
#define about(d) true
#else
#define about(d) (heard[d] == sequence[d])
#endif
#ifdef NOGATE
#define attests(d) true
#else
#define attests(d) (said[d] == ATTESTED && about(d))
#endif
#define gate(r) ((stage[r] / 2) % WAVES)
#define canPass(r) (live(r) && stage[r] % 2 == 1 && attests(gate(r)))

/* A server says that a release hurt it. */
#define canConvict(d) (said[d] == HURT && heard[d] == sequence[d] && live(blamed[d]))

/* It soaked: it is served everywhere, and what shows late had its time to show. */
#define clean(n, r) (n > r || phase[n] != ALIVE || kind[brings[n]] != LATE)
#define soaked(d, r) (d >= DCS || (target[d % DCS] >= r && attests(d % DCS)))
#define canPraise(r) (live(r) && r > lkg && stage[r] == 2*WAVES && \
	clean(1, r) && clean(2, r) && clean(3, r) && clean(4, r) && clean(5, r) && \
	soaked(0, r) && soaked(1, r) && soaked(2, r))

proctype Leader(byte own) {
	byte plan, arg;
	byte d, w, n, c;

end:	do
	/* Another one is elected, or this one again after it died. It has heard nothing yet. */
	:: d_step { elections > 0 && own != term ->
		elections--; term++; own = term; plan = 0; arg = 0;
		d = 0;
		do
		:: d < DCS -> heard[d] = 0; said[d] = NOTHING; blamed[d] = 0; d++
		:: else -> break
		od;
		d = 0
	}

	/* Reports arrive in any order, or not at all: only the newest matters, now or later. */
	:: idle && news(0) -> hear(0)
	:: idle && news(1) -> hear(1)
#if WAVES > 2
	:: idle && news(2) -> hear(2)
#endif
	:: idle && olds(0) -> mishear(0)
	:: idle && olds(1) -> mishear(1)
#if WAVES > 2
	:: idle && olds(2) -> mishear(2)
#endif

	/* A plan is made from what the store says, and committed later, or never. */
	:: atomic { idle && canSeal(0) -> plan = SEAL; arg = 0 }
#if CHANGES > 1
	:: atomic { idle && !canSeal(0) && canSeal(1) -> plan = SEAL; arg = 1 }
#endif
#if CHANGES > 2
	:: atomic { idle && !canSeal(0) && !canSeal(1) && canSeal(2) -> plan = SEAL; arg = 2 }
#endif
	:: atomic { idle && canOpen(1) -> plan = OPEN; arg = 1 }
	:: atomic { idle && canPass(1) -> plan = PASS; arg = 1 }
	:: atomic { idle && canPraise(1) -> plan = PRAISE; arg = 1 }
	:: atomic { idle && canOpen(2) -> plan = OPEN; arg = 2 }
	:: atomic { idle && canPass(2) -> plan = PASS; arg = 2 }
	:: atomic { idle && canPraise(2) -> plan = PRAISE; arg = 2 }
	:: atomic { idle && canOpen(3) -> plan = OPEN; arg = 3 }
	:: atomic { idle && canPass(3) -> plan = PASS; arg = 3 }
	:: atomic { idle && canPraise(3) -> plan = PRAISE; arg = 3 }
	:: atomic { idle && canOpen(4) -> plan = OPEN; arg = 4 }
	:: atomic { idle && canPass(4) -> plan = PASS; arg = 4 }
	:: atomic { idle && canPraise(4) -> plan = PRAISE; arg = 4 }
	:: atomic { idle && canOpen(5) -> plan = OPEN; arg = 5 }
	:: atomic { idle && canPass(5) -> plan = PASS; arg = 5 }
	:: atomic { idle && canPraise(5) -> plan = PRAISE; arg = 5 }
	:: atomic { idle && canConvict(0) -> plan = CONVICT; arg = blamed[0] }
	:: atomic { idle && canConvict(1) -> plan = CONVICT; arg = blamed[1] }
#if WAVES > 2
	:: atomic { idle && canConvict(2) -> plan = CONVICT; arg = blamed[2] }
#endif

	/* The commit compares the leader's key: one who was deposed changes nothing. */
	:: d_step { plan != 0 ->
		if
#ifndef NOFENCE
		:: own != term -> skip
		:: own == term ->
#else
		:: true ->
#endif
			if
			:: plan == SEAL -> seal()
			:: plan == OPEN -> open()
			:: plan == PASS -> pass()
			:: plan == CONVICT -> convict()
			:: plan == PRAISE -> praise()
			fi;
			check()
		fi;
		plan = 0; arg = 0
	}
	od
}

init {
	byte i;
	atomic {
		phase[0] = GOOD; stage[0] = 2*WAVES;
		faults = FAULTS; elections = ELECTIONS;
		do
		:: i < CHANGES ->
			if
			:: kind[i] = FINE
			:: kind[i] = BAD
			:: kind[i] = LATE
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < DCS -> run Agent(i); i++
		:: else -> break
		od;
		run Leader(1);
		run Leader(0)
	}
}

/* Progress: whatever happens, all that is fine becomes last known good and is served
 * everywhere, and all that is not is in quarantine. */
#define ends(c) (c >= CHANGES || (kind[c % CHANGES] == FINE && where[c % CHANGES] == RELEASED) || \
	(kind[c % CHANGES] != FINE && where[c % CHANGES] == QUARANTINED))
#define there(d) (d >= DCS || (target[d % DCS] == head && serves[d % DCS] == head && acted[d % DCS] == sequence[d % DCS]))
ltl progress { <>[] (head == lkg && ends(0) && ends(1) && ends(2) && there(0) && there(1) && there(2)) }
