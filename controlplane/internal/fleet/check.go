package fleet

import (
	"crypto/sha256"
	"fmt"
	"strconv"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Bounds of what one report may hold, since its newest form is kept and summarised.
const (
	maxIncarnation = 64
	maxVersion     = 100
	maxChannels    = 8
	maxChannel     = 32
	maxRejections  = 16
	maxDocument    = 300
	maxText        = 500
)

// check names what is wrong with a report. A certificate says who reports, not that what is
// reported makes sense.
func check(r *edgev1.ReportRequest) []rpcerr.Violation {
	c := &checker{}
	c.length("incarnation", r.GetIncarnation(), 1, maxIncarnation)
	c.length("agentVersion", r.GetAgentVersion(), 0, maxVersion)
	c.length("detail", r.GetDetail(), 0, maxText)
	if len(r.GetChannels()) > maxChannels {
		c.add("channels", "max_items", "has at most %d entries", maxChannels)
		return c.found
	}
	seen := map[string]bool{}
	for i, ch := range r.GetChannels() {
		field := "channels[" + strconv.Itoa(i) + "]"
		c.length(field+".channel", ch.GetChannel(), 1, maxChannel)
		if seen[ch.GetChannel()] {
			c.add(field+".channel", "unique", "is reported twice")
		}
		seen[ch.GetChannel()] = true
		c.channel(field, ch)
	}
	return c.found
}

type checker struct{ found []rpcerr.Violation }

func (c *checker) add(field, rule, format string, args ...any) {
	c.found = append(c.found, rpcerr.Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) length(field, text string, minimum, maximum int) {
	if len(text) < minimum || len(text) > maximum {
		c.add(field, "len", "has %d to %d bytes", minimum, maximum)
	}
}

func (c *checker) digest(field string, b []byte) {
	if len(b) != 0 && len(b) != sha256.Size {
		c.add(field, "len", "has %d bytes, or none", sha256.Size)
	}
}

func (c *checker) channel(field string, ch *edgev1.ChannelReport) {
	c.digest(field+".stateHash", ch.GetStateHash())
	if ch.GetRelease() < 0 {
		c.add(field+".release", "gte", "is not negative")
	}
	if ch.GetNewestRelease() < 0 {
		c.add(field+".newestRelease", "gte", "is not negative")
	}
	if ch.GetHealthyFor().AsDuration() < 0 {
		c.add(field+".healthyFor", "gte", "is not negative")
	}
	if len(ch.GetRejections()) > maxRejections {
		c.add(field+".rejections", "max_items", "has at most %d entries", maxRejections)
		return
	}
	for i, rej := range ch.GetRejections() {
		at := field + ".rejections[" + strconv.Itoa(i) + "]"
		c.length(at+".document", rej.GetDocument(), 0, maxDocument)
		c.length(at+".reason", rej.GetReason(), 0, maxText)
		c.digest(at+".sha256", rej.GetSha256())
	}
}
