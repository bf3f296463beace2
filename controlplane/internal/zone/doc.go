// Package zone holds the DNS records of a site: what a record is, which records can stand
// together, and the way in and out as a BIND master file.
//
// A [Zone] is a value. [Zone.Apply] takes a batch of creates, updates and deletes and
// answers with a new zone or with every violation at once; nothing is ever half applied.
// [Zone.Import] does the same for a master file, with a line for each error, and [Export]
// writes one that imports to the same records. All functions are pure and safe for
// concurrent use; nothing blocks, and the reader given to an import is read to its limit at
// most.
//
// # Names
//
// A record's name is given relative to the site (`www`), absolute (`www.example.com`, with
// or without a final dot) or as `@` for the site's own name. Without a final dot, a name
// that ends in the site's name is absolute and any other is relative. It is stored
// absolute, lower case, in A-labels, without a final dot. Labels have letters, digits,
// hyphens and underscores; the first may be `*`. In an imported file the rules of master
// files hold instead: without a final dot a name is relative to the current origin.
//
// Names within content are always absolute in the API; `@` is the site's name, and `.`,
// where a type allows it, the root. They are stored without a final dot.
//
// # Content
//
// The content is the record's data in presentation form, without what has a field of its
// own:
//
//	A      192.0.2.1
//	AAAA   2001:db8::1
//	CAA    0 issue "ca.example"                     flags, tag, value in quotes
//	CNAME  target.example.net
//	DS     60485 8 2 D4B7…                          key tag, algorithm, digest type, digest
//	HTTPS  1 . alpn="h2,h3"                         priority, target, parameters
//	MX     mail.example.net                         priority is a field; `.` is a null MX
//	NAPTR  100 10 "S" "SIP+D2U" "" _sip._udp.a.net  order, preference, flags, service, regexp, replacement
//	NS     ns1.example.net                          not at the site's own name
//	PTR    host.example.net
//	SRV    5 5060 sip.example.net                   weight, port, target; priority is a field
//	SSHFP  4 2 9DCA…                                algorithm, type, fingerprint
//	SVCB   1 svc.example.net port="8443"            as HTTPS
//	TLSA   3 1 1 0C72…                              usage, selector, matching type, data
//	TXT    v=spf1 -all                              the text itself, see below
//	URI    1 "https://example.com/"                 weight, target in quotes; priority is a field
//
// Priority belongs to MX, SRV and URI, and is 0 when left out. It may also stand in front of
// the content, as in zone files, and is then taken from there.
//
// The content of a TXT record is its text: how it is split into strings of 255 bytes is
// our business. Content that begins with a double quote is read as presentation form, one
// or more quoted strings with `\"`, `\\` and `\DDD`, and joined. It is stored as the bare
// text where that is printable and does not begin with a quote, else as one quoted string.
// A text has at most 4,096 bytes. In a file, words without quotes are a string each (RFC 1035,
// 5.1) and joined like all strings, without blanks, as everybody joins them who is answered
// with them: `v=spf1 -all` without quotes is the text `v=spf1-all`. An import keeps that and
// warns of it.
//
// # TTL
//
// 1 (or 0 on the way in) is automatic, otherwise 60 to 86,400 seconds. Records of one name
// and type are served with one TTL (RFC 2181, 5.2): the lowest of them, automatic counting
// as 300. They are stored as given, so that each can be changed alone. A proxied record
// keeps its TTL, which has effect only while it is not proxied.
//
// # What stands together
//
//   - A CNAME excludes any other record of its name, except at the site's own name, where
//     it is flattened to addresses when served: there it excludes A, AAAA and a second
//     CNAME only.
//   - A chain of CNAMEs within the zone must not lead back to itself.
//   - The same name, type, priority and content stand once.
//   - NS, DS and SOA at the site's own name are ours. DS needs NS of the same name; neither
//     has a wildcard name.
//   - Only A, AAAA and CNAME may be proxied, and only to addresses that the edge may dial:
//     private, loopback, link-local, multicast and metadata addresses are refused, the
//     documentation ranges are not.
package zone
