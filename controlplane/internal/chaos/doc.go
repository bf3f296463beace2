// Package chaos hurts a real installation and checks what its users saw; it has no code but
// tests.
//
// A world is real processes on loopback, each of which can be killed or frozen: three etcd
// members with TLS and credentials, replicas of `breakwaterd serve`, and a `breakwater-edge`
// in each data center. Every connection between them goes through a network of the test's
// own, which can cut any pair: bytes then wait, as packets do in a partition, and flow on
// when it heals. Peers of etcd reach each other through a proxy, so that members can be cut
// off from each other too.
//
// While faults happen, writers change sites with idempotency keys and repeat each change
// until it is acknowledged, by whichever replica answers, and watchers follow the feed of
// sites and resume by cursor. Afterwards a checker compares:
//
//   - every acknowledged change is there, under the version that was acknowledged, once;
//   - no event of the feed was lost, came twice or out of order, but where history was
//     compacted before a replica saw it, which then tells the newest version only;
//   - both replicas tell the same of every site's propagation;
//   - every data center serves what was written last, with the same state hashes.
//
// The tests take the seconds that leases and elections take; nothing waits for a fixed
// time, but for how long a fault lasts. BREAKWATER_CHAOS=10m makes TestChaos go on with
// random faults for that long; the seed is logged, and BREAKWATER_CHAOS_SEED repeats it.
// BREAKWATER_CHAOS_FAULT limits them to those with a text in their names. Slow disks need
// strace, which delays the system calls of one etcd member; without it they are left out.
package chaos
