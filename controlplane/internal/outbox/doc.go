// Package outbox carries out what changes asked for outside of the registry: payments and
// mail.
//
// A change puts an item in its own transaction ([Put]), so that the work is asked for exactly
// when the change is stored. The leader's [Worker] hands the item to the handler of its kind
// and removes it when that succeeds, under compares of the item and of the leadership: work
// is done at least once, and handlers must bear a repeat, as after a crash in between or by
// a leader that does not know yet that it is none.
//
// An item is the state of its work, not a message: putting it again under the same ID while
// it waits or runs touches it, and it is then done (again) after the touch. Items of one ID
// never run at the same time; items of different IDs run in no order, a bounded number of each
// kind at a time, so that no kind waits for another: mail goes out while payments hang.
//
//	WAITING --- due ---> handler --- nil --------> gone
//	   ^                  |  |  \--- [After](t) --> WAITING until t
//	   |                  |  \------ other error -> FAILING: again after a pause that grows
//	 Put, retry           |                         from seconds to an hour, with jitter
//	   |                  v [Dead](err), or failing for three days
//	   +---------------- DEAD: operators decide
package outbox
