package gateway

import (
	"fmt"
	"strings"
)

// template is a path of google.api.http: literal segments and `*`, of which runs are bound
// to the request's fields, and a verb.
type template struct {
	// segments has the literals; an empty one is `*`.
	segments []string
	verb     string
	vars     []variable
}

// variable is a field, by its proto path, and the segments that fill it.
type variable struct {
	field    string
	from, to int
}

// parseTemplate parses `/v1/{name=accounts/*/sites/*}:undelete`. Of google.api.http's
// grammar it lacks `**`, which no route here needs.
func parseTemplate(path string) (template, error) {
	var t template
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return t, fmt.Errorf("the path %q does not begin with a slash", path)
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		rest, t.verb = rest[:i], rest[i+1:]
	}
	for rest != "" {
		if !strings.HasPrefix(rest, "{") {
			segment, after, _ := strings.Cut(rest, "/")
			t.addSegments(segment)
			rest = after
			continue
		}
		inner, after, ok := strings.Cut(rest[1:], "}")
		if !ok || (after != "" && after[0] != '/') {
			return t, fmt.Errorf("the path %q has a malformed variable", path)
		}
		field, pattern, ok := strings.Cut(inner, "=")
		if !ok {
			pattern = "*"
		}
		v := variable{field: field, from: len(t.segments)}
		t.addSegments(pattern)
		v.to = len(t.segments)
		t.vars = append(t.vars, v)
		rest = strings.TrimPrefix(after, "/")
	}
	for _, s := range t.segments {
		if s == "**" || strings.ContainsAny(s, "{}") {
			return t, fmt.Errorf("the path %q is not of a form that is served", path)
		}
	}
	return t, nil
}

func (t *template) addSegments(pattern string) {
	for s := range strings.SplitSeq(pattern, "/") {
		if s == "*" {
			s = ""
		}
		t.segments = append(t.segments, s)
	}
}

// splitPath cuts a request's path at its slashes, and the verb off. IDs have no colon.
func splitPath(path string) (segments []string, verb string) {
	segments = strings.Split(path[1:], "/")
	last := len(segments) - 1
	if i := strings.LastIndexByte(segments[last], ':'); i >= 0 && i < len(segments[last])-1 {
		segments[last], verb = segments[last][:i], segments[last][i+1:]
	}
	return segments, verb
}

// matches compares as many segments as the template has.
func (t template) matches(segments []string) bool {
	for i, want := range t.segments {
		got := segments[i]
		if want == "" && (got == "" || strings.IndexByte(got, ':') >= 0) {
			return false
		}
		if want != "" && got != want {
			return false
		}
	}
	return true
}

func (t template) values(segments []string) map[string]string {
	values := make(map[string]string, len(t.vars))
	for _, v := range t.vars {
		values[v.field] = strings.Join(segments[v.from:v.to], "/")
	}
	return values
}
