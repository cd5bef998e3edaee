/* Live connections change hands between two workers: docs/internals/handover.md, src/core/handover*.c.
 *
 * Two slots, the sender's and the receiver's. Either worker may be killed between any two steps, as often as it likes: its
 * place in the program is gone, what lies in arena, page and socket stays, and its successor goes on at `revive`. Either
 * slot may also be lost for good: then nobody holds its descriptors any more, and the other side sees the end of the socket.
 * The receiver may refuse a batch, for want of room or because a predecessor crashed over it.
 *
 * Checked: nobody drives a connection that the other side drives (DRIVE), or whose bytes it does not know exactly; a
 * connection's last descriptor is never closed; in the end each connection has exactly one owner, unless its owner's slot
 * was lost; nobody waits for ever (invalid end states).
 *
 * The mutants must fail: -DMUTANT_NO_ACKNOWLEDGEMENT (the sender lets go when it has sent), -DMUTANT_NO_TAKEN (the receiver
 * drives without having stored `taken`), -DMUTANT_OPEN_FIRST (… before it has), -DMUTANT_NO_WAKE (a successor does not tell),
 * -DMUTANT_FORGETS_OUTBOX (the batch is noted after it was frozen). */

#ifndef CONNECTIONS
#define CONNECTIONS 2
#endif
#ifndef BATCHES
#define BATCHES 2
#endif

/* As often as it likes; -DDEATHS=n: n times at most, so that somebody who waits in vain is seen to. */
#ifdef DEATHS
byte s_deaths, r_deaths;
#define S_KILLED atomic { s_deaths < DEATHS -> s_deaths++; goto revive }
#define R_KILLED atomic { r_deaths < DEATHS -> r_deaths++; goto revive }
#define R_CRASHED atomic { r_deaths < DEATHS -> r_deaths++; r_crashed = true; goto revive }
#else
#define S_KILLED goto revive
#define R_KILLED goto revive
#define R_CRASHED r_crashed = true; goto revive
#endif

mtype = { FREE, OPEN, FROZEN, THAWING };
mtype = { EMPTY, RECEIVED };

/* The link's page, in a memfd of its own. */
byte offered;                    /* written by the sender alone */
byte taken, refused;             /* written by the receiver alone */
bool has_passport[CONNECTIONS];  /* the passports of the batch that was offered last, and the bytes they speak of */
bit passport[CONNECTIONS];

/* The link's socket. */
chan descriptors = [1] of { byte }; /* the batch whose descriptors lie in it */
bool wake;                          /* a message to the sender that says: look at the page */

/* The sender's arena. */
mtype s_life[CONNECTIONS] = OPEN;
bit s_bytes[CONNECTIONS];
byte s_batch;                    /* the outbox: what is FROZEN belongs to this batch */
byte s_sent;                     /* the batch whose descriptors were sent: the kernel writes it (msg_len) */

/* The receiver's arena. */
mtype r_life[CONNECTIONS] = FREE;
bit r_bytes[CONNECTIONS];
mtype r_inbox = EMPTY;
byte r_batch;
bool r_crashed;                  /* the last worker died by its own fault over this batch */

/* The kernel. */
bit bytes[CONNECTIONS];         /* what its counters say */
bool s_lost, r_lost, s_ended, r_ended;
bool excused[CONNECTIONS];       /* its owner's slot was lost with it */

#define IN_SOCKET(b) (len(descriptors) > 0 && (b) == s_sent)
#define IN_INBOX(c) (r_inbox == RECEIVED && has_passport[c] && taken < r_batch && refused < r_batch)

/* DRIVE: bytes move, of any connection; who drives must know how many there are. */
#define DRIVE(life, own, other) \
	if \
	:: life[0] == OPEN -> c = 0 \
	:: life[CONNECTIONS - 1] == OPEN -> c = CONNECTIONS - 1 \
	:: c = CONNECTIONS \
	fi; \
	d_step { \
		if \
		:: c < CONNECTIONS -> \
			assert(other[c] != OPEN); \
			assert(own[c] == bytes[c]); \
			bytes[c] = 1 - bytes[c]; \
			own[c] = bytes[c] \
		:: else \
		fi; \
		c = 0 \
	}

active proctype sender()
{
	byte c;
	bool any;

revive: /* s_batch, s_life and the page say how far it was */
	c = 0; any = false;
	if
	:: goto lost
	:: r_lost -> goto peer_gone
	:: !r_lost
	fi;
	if
	:: s_batch > offered -> goto resume         /* half frozen, and never offered */
	:: s_batch == offered && s_batch == 0 -> goto idle
	:: s_batch == offered && taken == s_batch && s_batch -> goto release
	:: s_batch == offered && refused == s_batch && s_batch -> goto resume
	:: s_batch < offered -> goto resume /* a mutant's */
	:: else -> goto send
	fi;

idle:
	DRIVE(s_life, s_bytes, r_life);
	if
	:: S_KILLED
	:: offered < BATCHES && !r_lost -> goto freeze
	:: goto end
	fi;

freeze: /* FREEZE: the outbox first, then life by life */
#ifndef MUTANT_FORGETS_OUTBOX
	s_batch = offered + 1;
#endif
	c = 0; any = false;
	do
	:: c < CONNECTIONS ->
		if
		:: s_life[c] == OPEN -> d_step { passport[c] = s_bytes[c]; has_passport[c] = true; any = true };
			s_life[c] = FROZEN
		:: has_passport[c] = false
		fi;
		c++
	:: c == CONNECTIONS -> break
	:: S_KILLED
	od;
#ifdef MUTANT_FORGETS_OUTBOX
	s_batch = offered + 1;
#endif
	if
	:: !any -> goto resume
	:: any -> offered = s_batch /* OFFER */
	:: S_KILLED
	fi;

send: /* SEND: whether it was, the kernel has written */
	if
	:: atomic { s_sent < s_batch && !r_lost -> descriptors!s_batch; s_sent = s_batch }
	:: s_sent >= s_batch
	:: S_KILLED
	:: r_lost -> goto peer_gone
	fi;
#ifdef MUTANT_NO_ACKNOWLEDGEMENT
	goto release;
#endif

wait:
	if
	:: wake -> wake = false
	:: r_lost -> goto peer_gone
	:: S_KILLED
	fi;
	if
	:: taken == s_batch -> goto release
	:: refused == s_batch -> goto resume
	:: else -> goto wait
	fi;

peer_gone: /* the end of the socket: nobody can store `taken` any more */
	if
	:: s_batch == offered && taken == s_batch -> goto release
	:: else -> goto resume
	fi;

release: /* RELEASE: out of epoll, closed, forgotten */
	c = 0;
	do
	:: c < CONNECTIONS ->
		if
		:: s_life[c] == FROZEN ->
			assert(r_life[c] != FREE || IN_SOCKET(s_batch) || IN_INBOX(c) || excused[c]);
			s_life[c] = FREE
		:: else
		fi;
		c++
	:: c == CONNECTIONS -> goto idle
	:: S_KILLED
	od;

resume: /* RESUME: they are ours as before */
	c = 0;
	do
	:: c < CONNECTIONS ->
		if
		:: s_life[c] == FROZEN -> s_life[c] = OPEN
		:: else
		fi;
		c++
	:: c == CONNECTIONS -> goto idle
	:: S_KILLED
	od;

lost: /* the slot is gone: what it alone had is lost with it */
	true;
	d_step {
		c = 0;
		do
		:: c < CONNECTIONS ->
			if
			:: s_life[c] == OPEN || (s_life[c] == FROZEN && r_life[c] == FREE && !IN_SOCKET(offered) && !IN_INBOX(c)) ->
				excused[c] = true
			:: else
			fi;
			s_life[c] = FREE;
			c++
		:: c == CONNECTIONS -> break
		od;
		s_lost = true
	};
	goto done;
end:
	DRIVE(s_life, s_bytes, r_life);
done:
	s_ended = true
}

active proctype receiver()
{
	byte c;

revive: /* r_inbox, r_batch and the page say how far it was */
	c = 0;
	if
	:: goto lost
	:: true
	fi;
	if
	:: r_inbox == EMPTY -> goto tell
	:: r_inbox == RECEIVED && taken >= r_batch -> goto open
	:: r_inbox == RECEIVED && refused >= r_batch -> goto drop
	:: r_inbox == RECEIVED && taken < r_batch && refused < r_batch ->
		/* half thawed: rolled back */
		d_step {
			do
			:: c < CONNECTIONS ->
				if
				:: r_life[c] == THAWING -> r_life[c] = FREE
				:: else
				fi;
				c++
			:: c == CONNECTIONS -> break
			od
		};
		c = 0;
		if
		:: r_crashed -> goto refuse
		:: !r_crashed -> goto thaw
		fi
	fi;

idle:
	DRIVE(r_life, r_bytes, s_life);
	if
	:: R_KILLED
	:: atomic { descriptors?r_batch -> r_inbox = RECEIVED; r_crashed = false } /* RECEIVE: under an intent */
	:: (s_lost || s_ended) && empty(descriptors) -> goto end
	fi;
	assert(r_batch == offered);

thaw: /* THAW: lives that are not driven, and not yet ours */
	do
	:: c < CONNECTIONS ->
		if
		:: has_passport[c] -> d_step { r_bytes[c] = passport[c]; r_life[c] = THAWING }
		:: else
		fi;
		c++
	:: c == CONNECTIONS -> break
	:: goto refuse                            /* no room, or what it does not understand */
	:: R_KILLED                               /* killed */
	:: R_CRASHED              /* killed by what it thaws */
	od;
#ifdef MUTANT_OPEN_FIRST
	c = 0;
	do
	:: c < CONNECTIONS ->
		if
		:: r_life[c] == THAWING -> r_life[c] = OPEN
		:: else
		fi;
		c++
	:: c == CONNECTIONS -> break
	:: R_KILLED
	od;
#endif
#ifndef MUTANT_NO_TAKEN
	taken = r_batch; /* TAKE: the moment of the change of ownership */
#endif

open: /* OPEN: ours, one by one */
	c = 0;
	do
	:: c < CONNECTIONS ->
		if
		:: r_life[c] == THAWING -> r_life[c] = OPEN
		:: else
		fi;
		c++
	:: c == CONNECTIONS -> break
	:: R_KILLED
	od;
	r_inbox = EMPTY;
	goto tell;

refuse: /* REFUSE */
	refused = r_batch;
drop: /* the descriptors are closed; the sender has its own */
	true;
	d_step {
		c = 0;
		do
		:: c < CONNECTIONS ->
			if
			:: r_life[c] == THAWING -> r_life[c] = FREE
			:: else
			fi;
			if
			:: has_passport[c] && s_lost && r_life[c] == FREE -> excused[c] = true
			:: else
			fi;
			c++
		:: c == CONNECTIONS -> break
		od
	};
	r_inbox = EMPTY;

tell: /* WAKE: again by every successor, as nobody knows whether it was */
#ifdef MUTANT_NO_WAKE
	if
	:: true
	:: wake = true
	fi;
#else
	if
	:: wake = true
	:: R_KILLED
	fi;
#endif
	goto idle;

lost:
	true;
	d_step {
		do
		:: c < CONNECTIONS ->
			if
			:: r_life[c] == OPEN || (r_life[c] == THAWING && taken == r_batch) -> excused[c] = true
			:: s_lost && r_life[c] != OPEN && (IN_SOCKET(offered) && has_passport[c] || IN_INBOX(c)) -> excused[c] = true
			:: else
			fi;
			r_life[c] = FREE;
			c++
		:: c == CONNECTIONS -> break
		od;
		if /* what lies in the socket goes with it */
		:: len(descriptors) > 0 -> descriptors?c
		:: else
		fi;
		r_inbox = EMPTY;
		r_lost = true
	};
	goto done;
end:
	DRIVE(r_life, r_bytes, s_life);
done:
	r_ended = true
}

active proctype judge()
{
	byte c;

	s_ended && r_ended;
	do
	:: c < CONNECTIONS ->
		assert(excused[c] || s_life[c] == OPEN && r_life[c] == FREE || r_life[c] == OPEN && s_life[c] == FREE);
		c++
	:: c == CONNECTIONS -> break
	od
}
