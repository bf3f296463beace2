// Package entitle says what a plan allows of a site's configuration: which apps, which
// settings inside them, how many entries of a list. It is the one place that knows, so that
// what a change of the configuration is refused for, what a preview lists as turning off,
// and what a fall to a cheaper plan does turn off can't disagree.
//
// [Rules.Fit] makes a configuration what a plan allows: what the plan does not have is
// switched off or taken out, and kept aside ([storev1.Parked]), with all of its settings;
// what was kept aside and the plan has comes back, unless the owner decided otherwise
// meanwhile. DNS records beyond a plan's count stay, since without them a site goes dark;
// only adding to them is refused.
//
// Everything here is pure: no function reads a clock or a store, changes its arguments or
// keeps them, and all may be called concurrently.
package entitle
