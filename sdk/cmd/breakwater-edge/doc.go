// Command breakwater-edge is the agent of one edge server: it follows what the control
// plane releases for its data center, writes it as files for the server's own programs, and
// reports how it went. It serves from its disk with no control plane and no etcd.
//
// It stops cleanly on SIGINT and SIGTERM, and at once on a second one. A supervisor should
// start it again when it ends by itself.
package main
