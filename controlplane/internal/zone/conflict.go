package zone

// maxChain is the longest chain of CNAMEs within the zone; resolvers give up at about as
// many.
const maxChain = 16

// wire is what makes two records one.
type wire struct {
	name, content string
	t             Type
	priority      int32
}

// names is an index of the entries of a zone.
type names struct {
	origin  string
	entries []entry
	// of lists the entries of each name, cname only those that are CNAMEs.
	of, cname map[string][]int
	// first is the entry to keep of each set of duplicates.
	first map[wire]int
	// lostNS says what took an NS record away from a name.
	lostNS map[string]string
}

// checkZone finds the records that can't stand together. A conflict is reported once, on a
// record of the batch; records that the batch does not touch are never blamed, so a rule
// that is newer than a zone does not lock it.
func checkZone(origin string, entries []entry, lostNS map[string]string, vs *violations) {
	n := names{
		origin: origin, entries: entries, lostNS: lostNS,
		of: make(map[string][]int, len(entries)), cname: make(map[string][]int), first: make(map[wire]int, len(entries)),
	}
	for i, e := range entries {
		n.of[e.Name] = append(n.of[e.Name], i)
		if e.Type == TypeCNAME {
			n.cname[e.Name] = append(n.cname[e.Name], i)
		}
		k := wire{e.Name, e.Content, e.Type, e.Priority}
		if j, ok := n.first[k]; !ok || n.blamed(j, i) {
			n.first[k] = i
		}
	}
	for i := range entries {
		if entries[i].path != "" && n.unique(i, vs) {
			n.checkCNAME(i, vs)
			n.checkChain(i, vs)
		}
		if entries[i].Type == TypeDS {
			n.checkDS(i, vs)
		}
	}
}

// blamed tells whether a conflict of i and other is reported on i: on the one that is in
// the batch, or on the later one if both are.
func (n *names) blamed(i, other int) bool {
	if n.entries[i].path == "" {
		return false
	}
	return n.entries[other].path == "" || other < i
}

func (n *names) unique(i int, vs *violations) bool {
	e := n.entries[i]
	if n.first[wire{e.Name, e.Content, e.Type, e.Priority}] == i {
		return true
	}
	vs.add(e.path, RuleDuplicate, "the zone already has the record %s %s %s", e.Name, e.Type, show(e.Content))
	return false
}

func (n *names) checkCNAME(i int, vs *violations) {
	e := n.entries[i]
	if len(n.cname[e.Name]) == 0 {
		return
	}
	flattened := apex(n.origin, e.Name)
	peers := n.cname[e.Name]
	if e.Type == TypeCNAME {
		peers = n.of[e.Name]
	}
	for _, j := range peers {
		if j == i || !n.blamed(i, j) {
			continue
		}
		if !flattened {
			vs.add(e.path, RuleCNAMEConflict,
				"%s has a record of type %s; a CNAME can't stand beside any other record of its name", e.Name, n.entries[j].Type)
			return
		}
		if atApexExclusive(e.Type) && atApexExclusive(n.entries[j].Type) {
			vs.add(e.path, RuleCNAMEConflict,
				"a CNAME of the site's own name, which is flattened to addresses, can't stand beside A, AAAA or another CNAME")
			return
		}
	}
}

// atApexExclusive are the types of which a flattened CNAME takes the place.
func atApexExclusive(t Type) bool { return t == TypeA || t == TypeAAAA || t == TypeCNAME }

// checkChain follows the CNAMEs of the zone from a CNAME of the batch. A chain that leaves
// the zone ends; loops outside are found when names are resolved.
func (n *names) checkChain(i int, vs *violations) {
	e := n.entries[i]
	if e.Type != TypeCNAME {
		return
	}
	at := e.Content
	for range maxChain {
		next := n.cname[at]
		if len(next) == 0 {
			return
		}
		if n.entries[next[0]].Content == e.Name {
			vs.add(e.path, RuleCNAMELoop, "the CNAMEs of %s and %s lead back to each other", e.Name, at)
			return
		}
		at = n.entries[next[0]].Content
	}
	vs.add(e.path, RuleCNAMELoop, "the chain of CNAMEs from %s is longer than %d or ends in a loop", e.Name, maxChain)
}

// checkDS finds a DS record without a delegation, whether it came so or the batch took the
// NS records away.
func (n *names) checkDS(i int, vs *violations) {
	e := n.entries[i]
	path := e.path
	if path == "" {
		path = n.lostNS[e.Name]
	}
	if path == "" {
		return
	}
	for _, j := range n.of[e.Name] {
		if n.entries[j].Type == TypeNS {
			return
		}
	}
	vs.add(path, RuleDSWithoutNS, "%s would have a DS record but no NS record: only a delegated name has DS", e.Name)
}
