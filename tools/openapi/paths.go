package main

import (
	"strings"
	"unicode"
)

// nameParameters names the parameters of a path after the collections that they
// follow: the generator calls them name and name_1, which tells a reader
// nothing and gives Get and Update of one resource two different paths. The
// item's parameters are renamed with them.
func nameParameters(path string, item object) (string, object) {
	segments := strings.Split(path, "/")
	names := map[string]string{}
	taken := map[string]bool{}
	for i, segment := range segments {
		old, rest, ok := parameter(segment)
		if !ok {
			continue
		}
		name := old
		if i > 0 && !strings.HasPrefix(segments[i-1], "{") && !taken[singular(segments[i-1])] {
			name = singular(segments[i-1])
		}
		taken[name] = true
		names[old] = name
		segments[i] = "{" + name + "}" + rest
	}
	for _, operation := range item {
		for _, entry := range list(operation.(object), "parameters") {
			entry, ok := entry.(object)
			old, _ := entry["name"].(string)
			if !ok || entry["in"] != "path" || names[old] == "" || names[old] == old {
				continue
			}
			entry["name"] = names[old]
			entry["description"] = "The ID of the " + words(names[old]) + "."
		}
	}
	return strings.Join(segments, "/"), item
}

// parameter splits a segment such as {name}:undelete.
func parameter(segment string) (name, rest string, ok bool) {
	if !strings.HasPrefix(segment, "{") {
		return "", "", false
	}
	name, rest, ok = strings.Cut(segment[1:], "}")
	return name, rest, ok
}

// singular turns the name of a collection into that of one of its resources.
func singular(collection string) string {
	if stem, ok := strings.CutSuffix(collection, "ies"); ok {
		return stem + "y"
	}
	if stem, ok := strings.CutSuffix(collection, "sses"); ok {
		return stem + "ss"
	}
	return strings.TrimSuffix(collection, "s")
}

// words turns dataCenter into "data center".
func words(name string) string {
	var text strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			text.WriteByte(' ')
		}
		text.WriteRune(unicode.ToLower(r))
	}
	return text.String()
}
