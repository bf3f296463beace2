// Command breakwaterd is the control plane of Breakwater. `breakwaterd dev` runs everything
// in one process, with simulated data centers; `breakwaterd serve` is production.
//
// It stops cleanly on SIGINT and SIGTERM, and at once on a second one.
package main
