// Package fleetdata knows where the data centers are: a list of codes, cities and
// coordinates, as a data file that is part of the program. Coordinates are those of the
// airport whose IATA code a data center has.
//
// [Load] returns the built-in list and [Parse] reads another one of the same form; both
// check it. The package does no other I/O and holds no state; every call returns a slice
// of the caller's own.
package fleetdata
