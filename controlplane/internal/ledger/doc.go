// Package ledger is where the engine keeps its state: the keys below control/, beside the
// edge key space in the same cluster, so that one transaction can compare the leader's key
// and write both. It knows keys and codecs; what the records mean is the business of
// packages publish, rollout and fleet.
//
//	control/leader                  who leads; every write below and in edge/ compares it
//	control/channels/{c}/head       end of the live chain, last number, cursor   (publish; rollout moves it back)
//	control/channels/{c}/rollout    progress of every release not yet good       (rollout)
//	control/channels/{c}/history/{n} final progress of a release                 (rollout; prune forgets old ones)
//	control/channels/{c}/policy     waves, bakes, soak, freeze                   (operators)
//	control/quarantines/{id}        documents kept at their good version         (rollout)
//	control/dataCenters/{dc}        drained, pinned                              (operators)
//	control/fleet/{dc}              what servers last reported                   (fleet)
//	control/incidents/{id}          what the public is told                      (incident; operators)
//	control/incidentCursor          up to where incidents were looked for        (incident)
//	control/commands/{id}           what operators asked of the leader           (operators; the leader removes it)
//
// Every write of the leader is one transaction made by [Commit], which adds the fence.
package ledger
