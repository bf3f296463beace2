// Package sitestate holds the rules of a site's one stored value: its defaults, its
// versions, what may follow which state, what is shown of it, and what time does to it.
//
// Everything that is configured for a site is one [storev1.SiteRecord], so one number says
// which state of it the edge serves:
//
//	value at revision 41: version 7, version_revision 0    the value's own revision made 7
//	value at revision 52: version 7, version_revision 41   labels changed; the edge does not care
//	value at revision 60: version 8, version_revision 0    7 moves to recent_versions as {7, 41}
//
// [NewVersion] is for a change that affects the edge, [Touch] for any other; one of them is
// called in every change. The states of a site and what leads from one to another are in
// the table of [Next].
//
// Functions are pure but for the record that they are given to change; they never block and
// keep no reference to their arguments. A record belongs to one goroutine at a time.
package sitestate
