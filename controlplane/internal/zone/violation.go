package zone

import (
	"fmt"
	"strings"
)

// Rule is the stable name of a rule that a record or a zone breaks. Programs may depend on
// it; messages may change.
type Rule string

// The rules of single records.
const (
	RuleRequired        Rule = "required"
	RuleName            Rule = "name_syntax"
	RuleOutsideZone     Rule = "outside_zone"
	RuleWildcard        Rule = "wildcard_position"
	RuleTypeUnsupported Rule = "type_unsupported"
	RuleTTL             Rule = "ttl_range"
	RulePriority        Rule = "priority_range"
	RuleNoPriority      Rule = "priority_not_allowed"
	RuleContent         Rule = "content_syntax"
	RuleTooLong         Rule = "too_long"
	RuleTarget          Rule = "target_not_a_name"
	RuleProxiedType     Rule = "proxied_type"
	RuleProxiedAddress  Rule = "proxied_address"
	RuleComment         Rule = "comment_characters"
	RuleManaged         Rule = "managed_by_us"
)

// The rules of zones and batches.
const (
	RuleCNAMEConflict  Rule = "cname_conflict"
	RuleCNAMELoop      Rule = "cname_loop"
	RuleDuplicate      Rule = "duplicate"
	RuleDSWithoutNS    Rule = "ds_without_ns"
	RuleTooManyRecords Rule = "too_many_records"
	RuleNotFound       Rule = "record_not_found"
	RuleTwiceInBatch   Rule = "twice_in_batch"
)

// Violation is one broken rule.
type Violation struct {
	// Field is the path of what breaks the rule: `content` of a record by itself,
	// `creates[2].content` in a batch.
	Field string
	// Rule is the stable name of the rule.
	Rule Rule
	// Message is a plain sentence for the person who made the record.
	Message string
}

func (v *Violation) Error() string {
	if v.Field == "" {
		return "zone: " + v.Message
	}
	return "zone: " + v.Field + ": " + v.Message
}

// maxViolations bounds what one refusal reports; a batch of thousands that are all wrong
// is no clearer with all of them.
const maxViolations = 100

// InvalidError says that records were refused, with every reason, at most 100. Nothing was
// changed.
type InvalidError struct {
	Violations []Violation
	// More is how many violations are not listed.
	More int
}

func (e *InvalidError) Error() string {
	parts := make([]string, 0, 3)
	for i := range e.Violations {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Violations)+e.More-i))
			break
		}
		parts = append(parts, strings.TrimPrefix(e.Violations[i].Error(), "zone: "))
	}
	return "zone: " + strings.Join(parts, "; ")
}

// violations collects, bounded.
type violations struct {
	list []Violation
	more int
}

func (vs *violations) add(field string, rule Rule, format string, args ...any) {
	if len(vs.list) >= maxViolations {
		vs.more++
		return
	}
	vs.list = append(vs.list, Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

func (vs *violations) addAll(prefix string, list []Violation) {
	for _, v := range list {
		vs.add(prefix+v.Field, v.Rule, "%s", v.Message)
	}
}

func (vs *violations) err() error {
	if len(vs.list) == 0 {
		return nil
	}
	return &InvalidError{Violations: vs.list, More: vs.more}
}

func violation(field string, rule Rule, format string, args ...any) *Violation {
	return &Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)}
}
