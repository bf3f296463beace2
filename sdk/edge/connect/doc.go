// Package connect makes the two connections that an agent needs: [OpenEtcd], from which it
// reads releases, and [OpenReports], over which it says how it is.
//
// Both start whether or not the other side is there, since an agent serves from its disk
// without either. Opening blocks on nothing; it fails only where files or settings are
// wrong. What is opened belongs to the caller, who closes it after the agent's Run
// returned. Both may be used by several goroutines.
//
// # Coming back
//
// Whatever ends the connections of one agent mostly ends those of thousands. So attempts to
// connect wait for a random part of a window that doubles with each failure (2 s to 16 s for
// etcd, 1 s to 8 s for replicas); the first attempt of a process does not. Watches resume at
// the revision where they were interrupted, so that nobody reads anew what it has. A replica
// to which too many report at once refuses some and says when to come again; streams heed it.
package connect
