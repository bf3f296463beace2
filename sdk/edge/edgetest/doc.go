// Package edgetest has the other side of an agent, for tests: a real etcd in the test's
// process ([StartEtcd]), a publisher that seals signed releases and writes targets
// ([Publisher]), a control plane that takes reports ([Reports]), and a data plane that
// remembers what it was given and fails when told to ([Plane]).
//
// Every helper belongs to the test that made it and ends with it. Their methods fail the
// test where something goes wrong; methods that wait do so until it happened or the test's
// patience of 20 s is over, on channels and not by polling where that is possible.
package edgetest
