// Package clock has the clock of a development server: the machine's own, moved forward by
// an offset that is kept in a file.
//
// Only the time of day moves, for what is decided by comparing times: soak, expiry and
// billing. Timers and tickers run as the machine's do, so whoever waits for a far time
// looks at the clock again on a short ticker instead of sleeping until then.
package clock
