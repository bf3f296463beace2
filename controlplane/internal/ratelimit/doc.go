// Package ratelimit keeps one tenant's load from becoming another's latency. It has two
// parts, which know nothing of what a tenant is but its name:
//
//   - [Limiter] bounds how many calls a tenant makes in a window of time, by a token bucket
//     that holds a whole window's calls and fills evenly. It never waits.
//   - [Gate] bounds how many calls run at once, in all and for each tenant. Calls above the
//     bounds wait in a short queue of their tenant's own; free places go around the tenants
//     that wait, one each, so that a tenant with a thousand waiting calls delays another
//     tenant's one call by one call.
//
// Memory is bounded: the Limiter forgets full buckets, and beyond Config.MaxTenants the
// least recently used one; the Gate keeps only tenants that run or wait.
//
// Both are safe for concurrent use and have no goroutines. Time is injected.
package ratelimit
