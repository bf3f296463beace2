package stripetest

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params reads the parameters of a request, or of one object within it. It remembers what
// was read, so that end can refuse the rest, and the first thing that was wrong.
type params struct {
	path string
	tree *node
	all  *reading
}

// reading is what all the objects of one request share.
type reading struct {
	problem *apiError
}

// node is a value, or an object or array by name or index.
type node struct {
	value    string
	isValue  bool
	children map[string]*node
	used     bool
}

// parseParams makes a tree of form values such as items[0][price]=price_1.
func parseParams(form url.Values) (*params, *apiError) {
	root := &node{children: map[string]*node{}}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		steps, ok := splitName(name)
		if !ok {
			return nil, earlyProblem(name, "parameter_unknown", "Invalid parameter name: "+name)
		}
		for _, value := range form[name] {
			at := root
			for _, step := range steps {
				if at.isValue {
					return nil, earlyProblem(name, "", "Invalid object")
				}
				if step == "" {
					step = strconv.Itoa(len(at.children))
				}
				if at.children[step] == nil {
					at.children[step] = &node{children: map[string]*node{}}
				}
				at = at.children[step]
			}
			at.value, at.isValue = value, true
		}
	}
	return &params{tree: root, all: &reading{}}, nil
}

func splitName(name string) ([]string, bool) {
	first, rest, nested := strings.Cut(name, "[")
	if first == "" {
		return nil, false
	}
	steps := []string{first}
	if !nested {
		return steps, true
	}
	if !strings.HasSuffix(rest, "]") {
		return nil, false
	}
	return append(steps, strings.Split(strings.TrimSuffix(rest, "]"), "][")...), true
}

func earlyProblem(param, code, words string) *apiError {
	e := invalid(param, "%s", words).withCode(code)
	e.early = true
	return e
}

func (p *params) name(key string) string {
	if p.path == "" {
		return key
	}
	return p.path + "[" + key + "]"
}

func (p *params) fail(key, code, words string) {
	if p.all.problem == nil {
		p.all.problem = earlyProblem(p.name(key), code, words)
	}
}

// has says whether a parameter is given, without reading it.
func (p *params) has(key string) bool { return p.tree.children[key] != nil }

// str reads a text; ok is false where it is not given.
func (p *params) str(key string) (value string, ok bool) {
	n := p.tree.children[key]
	if n == nil {
		return "", false
	}
	n.used = true
	if !n.isValue {
		p.fail(key, "", "Invalid string: {...}")
		return "", false
	}
	return n.value, true
}

// text reads a text that is empty where it is not given.
func (p *params) text(key string) string {
	value, _ := p.str(key)
	return value
}

// need reads a text that must be given.
func (p *params) need(key string) string {
	value, ok := p.str(key)
	if !ok {
		p.fail(key, "parameter_missing", "Missing required param: "+p.name(key)+".")
	} else if value == "" {
		p.fail(key, "parameter_invalid_empty", "You passed an empty string for '"+p.name(key)+"'.")
	}
	return value
}

// oneOf reads one of some texts; otherwise is what it is where it is not given.
func (p *params) oneOf(key, otherwise string, allowed ...string) string {
	value, ok := p.str(key)
	if !ok {
		return otherwise
	}
	if !slices.Contains(allowed, value) {
		p.fail(key, "", "Invalid "+p.name(key)+": must be one of "+strings.Join(allowed, ", "))
	}
	return value
}

func (p *params) number(key string) (value int64, ok bool) {
	text, ok := p.str(key)
	if !ok {
		return 0, false
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		p.fail(key, "parameter_invalid_integer", "Invalid integer: "+text)
	}
	return value, true
}

func (p *params) flag(key string) (value, ok bool) {
	text, ok := p.str(key)
	if !ok {
		return false, false
	}
	if text != "true" && text != "false" {
		p.fail(key, "", "Invalid boolean: "+text)
	}
	return text == "true", true
}

func (p *params) instant(key string) (value time.Time, ok bool) {
	seconds, ok := p.number(key)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0).UTC(), true
}

// object reads an object; nil where it is not given.
func (p *params) object(key string) *params {
	n := p.tree.children[key]
	if n == nil {
		return nil
	}
	if n.isValue {
		n.used = true
		if n.value != "" { // The empty text unsets.
			p.fail(key, "", "Invalid object")
		}
		return nil
	}
	return &params{path: p.name(key), tree: n, all: p.all}
}

// list reads an array, in order.
func (p *params) list(key string) []*params {
	outer := p.object(key)
	if outer == nil {
		return nil
	}
	indices := make([]int, 0, len(outer.tree.children))
	for name := range outer.tree.children {
		index, err := strconv.Atoi(name)
		if err != nil {
			p.fail(key, "", "Invalid array")
			return nil
		}
		indices = append(indices, index)
	}
	slices.Sort(indices)
	var list []*params
	for _, index := range indices {
		name := strconv.Itoa(index)
		list = append(list, &params{path: outer.name(name), tree: outer.tree.children[name], all: p.all})
	}
	return list
}

// texts reads an array of texts.
func (p *params) texts(key string) []string {
	var list []string
	for _, item := range p.list(key) {
		item.tree.used = true
		if !item.tree.isValue {
			p.fail(key, "", "Invalid string")
		}
		list = append(list, item.tree.value)
	}
	return list
}

// merge reads a map of texts, such as metadata, into what was there: an empty text removes
// its key, and an empty map all (https://docs.stripe.com/api/metadata).
func (p *params) merge(key string, into map[string]string) map[string]string {
	result := maps.Clone(into)
	if result == nil {
		result = map[string]string{}
	}
	n := p.tree.children[key]
	if n == nil {
		return result
	}
	n.used = true
	if n.isValue {
		return map[string]string{}
	}
	for name, child := range n.children {
		child.used = true
		if child.value == "" {
			delete(result, name)
		} else {
			result[name] = child.value
		}
	}
	return result
}

// end refuses what was wrong and what nobody read.
func (p *params) end() error {
	if p.all.problem != nil {
		return p.all.problem
	}
	if name := unread(p.tree, p.path); name != "" {
		return earlyProblem(name, "parameter_unknown", "Received unknown parameter: "+name)
	}
	return nil
}

func unread(n *node, path string) string {
	if n.isValue && !n.used {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		inner := name
		if path != "" {
			inner = path + "[" + name + "]"
		}
		if found := unread(n.children[name], inner); found != "" {
			return found
		}
	}
	return ""
}

// leaves are the names of all values that were given.
func (p *params) leaves() []string {
	var names []string
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		if n.isValue {
			names = append(names, path)
		}
		for _, name := range slices.Sorted(maps.Keys(n.children)) {
			inner := name
			if path != "" {
				inner = path + "[" + name + "]"
			}
			walk(n.children[name], inner)
		}
	}
	walk(p.tree, p.path)
	return names
}
