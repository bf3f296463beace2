// Package compile turns what the registry holds into the documents that the edge serves.
//
// It is pure and deterministic: equal inputs give equal bytes, on every replica and after
// every restart. It knows no clock (the control plane removes what expired before it
// compiles), no store and no network, and it never logs. Functions may be called
// concurrently; they neither keep nor change what they are given.
//
//	site/{domain}     settings, apps, origin, rate limits       routine
//	dns/{domain}      the zone of a FULL site                   routine
//	shield/{domain}   firewall entries, packet rules, levels    urgent
//	purge/{domain}    what must be forgotten                    urgent
//	app/{app}         one entry of the catalogue                platform
//	limits/edge       what an edge accepts                      platform
//
// A site has documents while it is ACTIVE and its account is not deleted; else it has none.
// A paused site keeps its documents, of which `site` says so: the edge must know the site
// to send its visitors on. Whatever a setting leaves open is written out as it holds, so
// the edge knows no defaults but those of apps.
//
// It is bounded: rules are counted before any is looked at, expressions by their cost,
// documents by their size. What can't be compiled fails with a [LimitError], or with an
// [ImpossibleError] for what no real packet or request could ever match. The same checks
// are offered to whoever stores configuration ([CheckThreats], [CheckSettings], [Check]),
// with every problem at once, so that nothing that can't be compiled is stored. [CheckReach]
// is for them alone: it finds what is pointless and does no harm.
package compile

// Version is the version of the compiler. It grows with every change that gives other
// bytes for the same input, also where the serialisation library is what changed; golden
// files notice. A new version re-emits documents whose inputs did not change.
const Version = 2
