// Reads a history of calls as JSON lines, and lets Porcupine say whether one copy of the login policies could have answered them, one
// call after the other. The first line is the model, and each other line is one call, with the fields of `Model` and `Operation` in
// checker.ts. Exits with 0 if the history is linearizable, 1 if it is not, and 2 if nobody can say.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Longer than any history of the tests takes, by far.
const timeLimit = time.Minute

type policyModel struct {
	Inherited []string `json:"inherited"`
	Initial   struct {
		Sequence int `json:"sequence"`
	} `json:"initial"`
	// Sequences that acknowledged writes have. An order with one of them twice is none, and is not worth a search.
	acknowledged map[int]bool
}

type call struct {
	Kind    string   `json:"kind"`
	Factor  string   `json:"factor"`
	Factors []string `json:"factors"`
}

type answer struct {
	Kind      string   `json:"kind"`
	Reason    string   `json:"reason"`
	Sequence  *int     `json:"sequence"`
	Factors   []string `json:"factors"`
	IsDefault *bool    `json:"isDefault"`
}

type operation struct {
	Organization string  `json:"organization"`
	Client       int     `json:"client"`
	Call         call    `json:"call"`
	Answer       answer  `json:"answer"`
	Start        float64 `json:"start"`
	End          float64 `json:"end"`
}

// The policy of one organization. States are compared with ==, so the factors are one text.
type policy struct {
	sequence int
	isOwn    bool
	factors  string
	// All calls with an answer have their place. What is left had no effect.
	isOver bool
}

// A call of one organization that may be refused.
type refusal string

const (
	none    refusal = ""
	exists  refusal = "exists"
	missing refusal = "missing"
)

const separator = ","

func split(factors string) []string {
	if factors == "" {
		return nil
	}
	return strings.Split(factors, separator)
}

// apply is the policy after a call that is obeyed, or why it is refused.
func (m policyModel) apply(before policy, asked call) (policy, refusal) {
	effective := m.Inherited
	// The first change of what is inherited copies it, which is an event of its own.
	copies := 1
	if before.isOwn {
		effective, copies = split(before.factors), 0
	}
	own := func(factors []string, events int) (policy, refusal) {
		return policy{sequence: before.sequence + events, isOwn: true, factors: strings.Join(factors, separator)}, none
	}
	switch asked.Kind {
	case "add":
		switch {
		case !slices.Contains(effective, asked.Factor):
			return own(append(slices.Clone(effective), asked.Factor), copies+1)
		case before.isOwn:
			return before, exists
		default:
			return own(effective, copies)
		}
	case "remove":
		if !slices.Contains(effective, asked.Factor) {
			return before, missing
		}
		left := slices.DeleteFunc(slices.Clone(effective), func(factor string) bool { return factor == asked.Factor })
		return own(left, copies+1)
	case "create":
		if before.isOwn {
			return before, exists
		}
		return own(asked.Factors, 1)
	case "reset":
		if !before.isOwn {
			return before, missing
		}
		return policy{sequence: before.sequence + 1}, none
	default:
		return before, none
	}
}

// step says whether a call may have been answered so in this state, and what the state is after it.
func (m policyModel) step(before policy, asked call, got answer) (bool, policy) {
	after, refused := m.apply(before, asked)
	switch got.Kind {
	case "over":
		before.isOver = true
		return true, before
	case "written":
		return refused == none && after != before && after.sequence == *got.Sequence, after
	case "refused":
		return string(refused) == got.Reason, before
	case "shown":
		return m.shows(before, got), before
	default:
		// Nobody knows the outcome. Either it has effect here, or it comes when all is over.
		return before.isOver || after != before && !m.isClaimed(before.sequence+1, after.sequence), after
	}
}

func (m policyModel) isClaimed(first, last int) bool {
	for sequence := first; sequence <= last; sequence++ {
		if m.acknowledged[sequence] {
			return true
		}
	}
	return false
}

func (m policyModel) shows(state policy, got answer) bool {
	effective := strings.Join(m.Inherited, separator)
	if state.isOwn {
		effective = state.factors
	}
	isDefaultFits := got.IsDefault == nil || *got.IsDefault == !state.isOwn
	sequenceFits := got.Sequence == nil || !state.isOwn || *got.Sequence == state.sequence
	return isDefaultFits && sequenceFits && strings.Join(got.Factors, separator) == effective
}

func (m policyModel) toPorcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return policy{sequence: m.Initial.Sequence} },
		Step: func(state, input, output any) (bool, any) {
			return m.step(state.(policy), input.(call), output.(answer))
		},
	}
}

const nanosecondsEach = 1e6 // of the milliseconds in a history

func toPorcupine(one operation) porcupine.Operation {
	end := int64(math.Round(one.End * nanosecondsEach))
	if one.Answer.Kind == "unknown" {
		end = never
	}
	start := int64(math.Round(one.Start * nanosecondsEach))
	return porcupine.Operation{ClientId: one.Client, Input: one.Call, Output: one.Answer, Call: start, Return: end}
}

const never = math.MaxInt64

// check adds a last call after all that have an answer, and asks Porcupine.
func (m policyModel) check(history []porcupine.Operation) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	m.acknowledged = map[int]bool{}
	over := porcupine.Operation{Input: call{}, Output: answer{Kind: "over"}, Return: never}
	for _, one := range history {
		if got := one.Output.(answer); got.Kind == "written" {
			m.acknowledged[*got.Sequence] = true
		}
		if one.Return < never {
			over.Call = max(over.Call, one.Return+1)
		}
	}
	return porcupine.CheckOperationsVerbose(m.toPorcupine(), append(slices.Clone(history), over), timeLimit)
}

func read(from io.Reader) (policyModel, map[string][]porcupine.Operation, error) {
	var model policyModel
	lines := json.NewDecoder(bufio.NewReader(from))
	if err := lines.Decode(&model); err != nil {
		return model, nil, fmt.Errorf("there is no model: %w", err)
	}
	histories := map[string][]porcupine.Operation{}
	for {
		var one operation
		if err := lines.Decode(&one); err == io.EOF {
			return model, histories, nil
		} else if err != nil {
			return model, nil, err
		}
		kind := one.Answer.Kind
		switch {
		case !slices.Contains([]string{"written", "refused", "shown", "failed", "unknown"}, kind):
			return model, nil, fmt.Errorf("no such answer: %q", kind)
		case kind == "written" && one.Answer.Sequence == nil:
			return model, nil, fmt.Errorf("client %d: a write without a sequence", one.Client)
		case kind == "failed":
			// Nothing was written, and the answer says nothing of the policy.
			continue
		}
		histories[one.Organization] = append(histories[one.Organization], toPorcupine(one))
	}
}

// explain shows where the longest order ends that Porcupine found.
func (m policyModel) explain(history []porcupine.Operation, found porcupine.LinearizationInfo) string {
	var longest []int
	for _, partial := range found.PartialLinearizations()[0] {
		if len(partial) > len(longest) {
			longest = partial
		}
	}
	state := policy{sequence: m.Initial.Sequence}
	for _, id := range longest {
		_, state = m.step(state, history[id].Input.(call), history[id].Output.(answer))
	}
	next := -1
	for id, one := range history {
		if !slices.Contains(longest, id) && (next == -1 || one.Return < history[next].Return) {
			next = id
		}
	}
	where := "inherited"
	if state.isOwn {
		where = "own " + state.factors
	}
	return fmt.Sprintf("after %d of %d calls, at sequence %d (%s), no order goes on with %s",
		len(longest), len(history), state.sequence, where, describe(history[next]))
}

func describe(one porcupine.Operation) string {
	asked, got := one.Input.(call), one.Output.(answer)
	text := asked.Kind
	if asked.Factor != "" {
		text += " " + asked.Factor
	}
	if asked.Kind == "create" {
		text += fmt.Sprint(" ", asked.Factors)
	}
	text += fmt.Sprintf(", %.1f to %.1f, %s", float64(one.Call)/nanosecondsEach, float64(one.Return)/nanosecondsEach, got.Kind)
	switch {
	case got.Kind == "refused":
		text += ": " + got.Reason
	case got.Kind == "shown":
		text += fmt.Sprint(" ", got.Factors)
	}
	if got.Sequence != nil {
		text += fmt.Sprintf(", sequence %d", *got.Sequence)
	}
	return fmt.Sprintf("[client %d: %s]", one.ClientId, text)
}

func run() int {
	model, histories, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	checked, status := 0, 0
	for _, organization := range slices.Sorted(maps.Keys(histories)) {
		history := histories[organization]
		checked += len(history)
		result, found := model.check(history)
		switch result {
		case porcupine.Illegal:
			fmt.Printf("organization %s: %s\n", organization, model.explain(history, found))
			status = max(status, 1)
		case porcupine.Unknown:
			fmt.Printf("organization %s: no answer after %s\n", organization, timeLimit)
			status = 2
		}
	}
	if status == 0 {
		fmt.Printf("linearizable: %d calls in %d organizations\n", checked, len(histories))
	}
	return status
}

func main() {
	os.Exit(run())
}
