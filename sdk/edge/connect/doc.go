// Package connect makes the two connections that an agent needs: [OpenEtcd], from which it
// reads releases, and [OpenReports], over which it says how it is.
//
// Both start whether or not the other side is there, since an agent serves from its disk
// without either. Opening blocks on nothing; it fails only where files or settings are
// wrong. What is opened belongs to the caller, who closes it after the agent's Run
// returned. Both may be used by several goroutines.
package connect
