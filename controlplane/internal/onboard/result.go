package onboard

// Kind is what a check found. The names are stable.
type Kind string

// What a check may find.
const (
	// OK: what was wanted is there.
	OK Kind = "OK"
	// NotDelegated: the parent zone does not delegate to the wanted name servers, or to
	// others besides them.
	NotDelegated Kind = "NOT_DELEGATED"
	// NoRecord: the name exists, but not with a record of the type.
	NoRecord Kind = "NO_RECORD"
	// Mismatch: there are records of the type, and none is the wanted one.
	Mismatch Kind = "MISMATCH"
	// NXDomain: the name does not exist.
	NXDomain Kind = "NXDOMAIN"
	// CNAMELoop: CNAMEs lead back to themselves, or further than eight steps.
	CNAMELoop Kind = "CNAME_LOOP"
	// ServFail: the servers asked said that they failed. The resolver says so also where
	// the domain's own servers are out of order.
	ServFail Kind = "SERVFAIL"
	// Refused: the servers asked will not answer us.
	Refused Kind = "REFUSED"
	// Lame: servers that should know the parent zone do not.
	Lame Kind = "LAME"
	// Timeout: nobody answered in time.
	Timeout Kind = "TIMEOUT"
	// Unreachable: no connection could be made.
	Unreachable Kind = "UNREACHABLE"
	// Malformed: the answers were not DNS messages, or not to what was asked.
	Malformed Kind = "MALFORMED"
)

// Temporary tells whether the finding may be a mishap of the moment, so that only asking
// again can tell.
func (k Kind) Temporary() bool {
	switch k {
	case ServFail, Refused, Lame, Timeout, Unreachable, Malformed:
		return true
	case OK, NotDelegated, NoRecord, Mismatch, NXDomain, CNAMELoop:
		return false
	}
	return true
}

// Evidence is one question and what came of it.
type Evidence struct {
	// Server is who was asked, host:port.
	Server string
	// Name and Type are the question. Name has no final dot, but for the root.
	Name, Type string
	// Outcome is a response code as `NOERROR`, or the [Kind] of a failure.
	Outcome string
	// Authoritative tells whether the server answered with authority.
	Authoritative bool
	// Records are the answer, or else the authority section, at most 16, each cut to 300
	// bytes.
	Records []string
}

// Result is the outcome of a check.
type Result struct {
	Kind Kind
	// Temporary is Kind.Temporary(), spelled out for who stores or shows the result.
	Temporary bool
	// Reason is a plain sentence for the owner of the domain.
	Reason string
	// Seen is what there was in place of what was wanted, or beside it: name servers,
	// texts or targets, sorted, at most 16.
	Seen []string
	// Evidence is every question in order, at most 64.
	Evidence []Evidence
}
