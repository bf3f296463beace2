package zone

import (
	"strconv"
	"strings"
)

// tagPrefix begins the comment in which an exported record carries what a master file has
// no place for: `; bw:proxied=true ttl=auto comment="…"`.
const tagPrefix = "bw:"

// tag is the comment of an exported record, "" where it needs none.
func (r Record) tag() string {
	var parts []string
	if r.Proxied {
		parts = append(parts, "proxied=true")
	}
	if r.TTL == AutoTTL {
		parts = append(parts, "ttl=auto")
	}
	if r.Comment != "" {
		parts = append(parts, "comment="+strconv.Quote(r.Comment))
	}
	if len(parts) == 0 {
		return ""
	}
	return " ; " + tagPrefix + strings.Join(parts, " ")
}

// applyTag reads a comment. One that is no tag is nobody's business, but a tag with a fault
// is an error: taking the record without it could give an origin away. Cloudflare's exports
// carry one such tag too.
func (r *Record) applyTag(comment string) (why string) {
	if strings.HasPrefix(comment, "cf_tags=") {
		if r.Type == TypeA || r.Type == TypeAAAA || r.Type == TypeCNAME {
			r.Proxied = strings.Contains(comment, "cf-proxied:true")
		}
		return ""
	}
	rest, ok := strings.CutPrefix(comment, tagPrefix)
	if !ok {
		return ""
	}
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return "the tag " + show(comment) + " is not of the form key=value"
		}
		var value string
		value, rest, ok = tagValue(after)
		if !ok {
			return "a value of the tag " + show(comment) + " is not complete"
		}
		switch {
		case key == "proxied" && (value == "true" || value == "false"):
			r.Proxied = value == "true"
		case key == "ttl" && value == "auto":
			r.TTL = AutoTTL
		case key == "comment":
			r.Comment = value
		default:
			return "the tag " + show(key+"="+value) + " is not known; there are proxied=true, ttl=auto and comment=\"…\""
		}
	}
	return ""
}

func tagValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, " \t")
		if i < 0 {
			return s, "", s != ""
		}
		return s[:i], s[i:], i > 0
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	return value, s[len(quoted):], err == nil
}
