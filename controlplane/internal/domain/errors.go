package domain

import "strconv"

// Rule is the stable name of the reason why a name is refused. Programs may depend on it;
// the message beside it is for people and may change.
type Rule string

// The rules, in the order in which they are checked.
const (
	// RuleEmpty: there is no name.
	RuleEmpty Rule = "empty"
	// RuleTooLong: the name is longer than 253 bytes in its A-label form.
	RuleTooLong Rule = "too_long"
	// RuleWildcard: the name contains an asterisk.
	RuleWildcard Rule = "wildcard"
	// RuleIPAddress: the name is an IP address, or ends in a label of digits as one would.
	RuleIPAddress Rule = "ip_address"
	// RuleUnderscore: the name contains an underscore; host names do not.
	RuleUnderscore Rule = "underscore"
	// RuleCharacters: the name holds something that no domain has, as a scheme, port or path.
	RuleCharacters Rule = "characters"
	// RuleEmptyLabel: two dots stand together, or one stands first.
	RuleEmptyLabel Rule = "empty_label"
	// RuleLabelTooLong: a label is longer than 63 bytes in its A-label form.
	RuleLabelTooLong Rule = "label_too_long"
	// RuleIDNA: a label is not valid in IDNA (UTS 46, non-transitional).
	RuleIDNA Rule = "idna"
	// RuleReserved: the name lies under a top-level name that never is in the public DNS.
	RuleReserved Rule = "reserved"
	// RuleSingleLabel: the name has one label.
	RuleSingleLabel Rule = "single_label"
	// RuleOwnZone: the name lies in a zone of the CDN itself.
	RuleOwnZone Rule = "own_zone"
	// RulePublicSuffix: the name is a public suffix, under which others register names.
	RulePublicSuffix Rule = "public_suffix"
)

// Error says why a name is not a domain that can be onboarded.
type Error struct {
	// Input is what was given, cut to 300 bytes.
	Input string
	// Rule is the stable name of the reason.
	Rule Rule
	// Message is a plain sentence for the person who typed the name.
	Message string
}

func (e *Error) Error() string {
	return "domain: " + strconv.Quote(e.Input) + ": " + e.Message
}

const maxInputShown = 300

func refuse(input string, rule Rule, message string) *Error {
	if len(input) > maxInputShown {
		input = input[:maxInputShown]
	}
	return &Error{Input: input, Rule: rule, Message: message}
}
