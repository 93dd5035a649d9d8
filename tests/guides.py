"""The checklists to which the messages of guard tests point."""

ADD_A_FIELD = "see docs/contributing/add-a-field.md"
ADD_A_CONDITION = "see docs/contributing/add-a-condition.md"
ADD_A_KIND = "see docs/contributing/add-a-kind.md"
ADD_A_FLAG = "see docs/contributing/add-a-flag.md"
