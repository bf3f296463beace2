// Package billing knows what is sold: the plans, their prices, and what each entitles a
// site to. It is the one place that answers entitlements, so that every refusal can name
// the plan that would allow what was asked.
//
// Plans come from an embedded data file that is validated when it is loaded; changing a
// price or a count is a change of data. [Load] is called once, by the composition root.
// A [Plans] never changes afterwards: its methods may be called concurrently, never block,
// and hand out shared messages that callers must not modify.
package billing
