// Package internet says what there can be on the Internet: the networks that visitors come
// from ([Source]), and the addresses, names and URLs that the edge may be sent to
// ([CheckDestination], [CheckURL]). Whoever takes such a text from a customer asks it, so that
// one thing is not refused here and taken there.
//
// Documentation networks and addresses (RFC 5737, RFC 3849) pass, for people try things out
// with them. Functions are pure, look nothing up, and may be called concurrently.
package internet
