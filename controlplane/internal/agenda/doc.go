// Package agenda does work on stored values when it falls due: activation checks of sites,
// items of the outbox.
//
// An [Agenda] keeps, from the cache's events, when each key below a prefix is due; nothing
// scans all keys but the start and what follows a gap in the events. What is due runs a
// bounded number at a time, at most once per key. [Agenda.Run] does so until its context
// ends; [Agenda.RunDue] does everything that is due at the clock's now and returns, for
// development, where somebody else moves the clock. Both may run at once.
//
// The cache may be old, so a key that is handed out is a hint: the work reads the value as
// it is stored, decides again whether it is due, and writes under a compare. Work that is
// done changes or removes the value, and the event of that sets the next time; work that
// fails is handed out again after a pause.
package agenda
