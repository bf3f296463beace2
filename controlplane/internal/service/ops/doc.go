// Package ops holds the handlers of the operators' API: the fleet, channels, releases,
// quarantines, limits and, in a development server, the controls that hurt it.
//
// Handlers read the engine's state from the cache of control/ and never touch a target or a
// release themselves. What they set are wishes: a drain, a pin, a policy, a freeze, or a
// command to the leader; the rollout acts on them under its own rules.
package ops
