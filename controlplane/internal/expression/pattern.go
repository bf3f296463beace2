package expression

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// compilePattern compiles a regular expression that costs at most budget, or says why not.
// The size is estimated first, because compiling is what would exhaust memory.
func compilePattern(pattern string, budget int) (re *regexp.Regexp, cost int, why string) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		if detail, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, 0, fmt.Sprintf("the regular expression is not one of RE2: %s: %q", detail.Code, detail.Expr)
		}
		return nil, 0, "the regular expression is not one of RE2"
	}
	if estimate(parsed, budget) > budget {
		return nil, 0, fmt.Sprintf("the regular expression costs more than the %d that are left", budget)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, 0, "the regular expression does not compile"
	}
	if len(prog.Inst) > budget {
		return nil, 0, fmt.Sprintf("the regular expression costs %d, more than the %d that are left", len(prog.Inst), budget)
	}
	re, err = regexp.Compile(pattern)
	if err != nil {
		return nil, 0, "the regular expression does not compile"
	}
	return re, len(prog.Inst), ""
}

// estimate is a number of instructions that the compiled form of re has at least, and that
// it exceeds by a small factor at most. Counting stops beyond limit.
func estimate(re *syntax.Regexp, limit int) int {
	own := 1
	if re.Op == syntax.OpLiteral {
		own = len(re.Rune)
	}
	n := 0
	for _, sub := range re.Sub {
		n += estimate(sub, limit)
		if n > limit {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		times := max(re.Min, re.Max, 1)
		return min(n*times, limit+1)
	}
	return n + own
}
