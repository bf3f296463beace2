package zone

import (
	"fmt"
	"strings"
)

// Export writes the zone as a master file, in canonical order, the same text for the same
// records. SOA and NS of the zone itself are ours and stand in no export. What a master file
// has no place for stands in comments that [ParseBIND] reads, so that importing the text
// into an empty zone gives the same records but for their IDs. Records that are not
// canonical, which no zone has, are left out with a comment.
func Export(z Zone) string {
	var b strings.Builder
	fmt.Fprintf(&b, "; Zone %s\n; The SOA record and the NS records of the zone itself are managed for you and left out.\n", z.origin)
	fmt.Fprintf(&b, "$ORIGIN %s.\n", z.origin)
	for _, r := range z.Sorted() {
		owner := "@"
		if r.Name != z.origin {
			owner = strings.TrimSuffix(r.Name, "."+z.origin)
		}
		rr, err := r.RR()
		if err != nil {
			fmt.Fprintf(&b, "; %s %s: left out, its content is not valid\n", owner, r.Type)
			continue
		}
		fmt.Fprintf(&b, "%s\t%d\tIN\t%s\t%s%s\n", owner, r.servedTTL(), r.Type, data(rr), r.tag())
	}
	return b.String()
}
