// Where extensions serve, as a configuration says it.
#include "actors/rules/placement.hpp"

#include <catch2/catch.hpp>

using namespace waybill;

TEST_CASE("a placement is a pattern and a name, with commas between", "[extensions]") {
  const auto read = parse_placements("orders=checker, billing.*=auditor ,*=last", placed_at::topic);
  REQUIRE(read);
  CHECK(*read ==
        std::vector<placement>{{"orders", "checker"}, {"billing.*", "auditor"}, {"*", "last"}});
  CHECK(parse_placements("", placed_at::topic)->empty());
  CHECK(parse_placements("  ", placed_at::topic)->empty());
  const auto groups = parse_placements("orders/*=desk", placed_at::group);
  REQUIRE(groups);
  CHECK(*groups == std::vector<placement>{{"orders/*", "desk"}});
}

TEST_CASE("what is no placement is named, with how one is written", "[extensions]") {
  for (const auto* wrong : {"orders", "orders=", "=checker", "or ders=checker", "orders=che cker",
                            "orders=checker,", ".orders=checker", "orders/billing=checker"}) {
    INFO(wrong);
    const auto read = parse_placements(wrong, placed_at::topic);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ec::bad_argument);
    CHECK_THAT(read.error().detail, Catch::Contains("TOPIC=NAME"));
  }
  for (const auto* wrong : {"orders=desk", "orders/=desk", "/billing=desk", "a/b/c=desk"})
    CHECK_FALSE(parse_placements(wrong, placed_at::group));
  CHECK(*parse_names("pager, mailer") == std::vector<std::string>{"pager", "mailer"});
  CHECK_FALSE(parse_names("pager mailer"));
}

TEST_CASE("a star stands for any letters, none too", "[extensions]") {
  CHECK(matches("orders", "orders"));
  CHECK_FALSE(matches("orders", "order"));
  CHECK_FALSE(matches("order", "orders"));
  CHECK(matches("*", ""));
  CHECK(matches("*", "orders"));
  CHECK(matches("or*", "or"));
  CHECK(matches("*ers", "orders"));
  CHECK(matches("o*d*s", "orders"));
  CHECK(matches("*a*b", "xaybzab"));
  CHECK_FALSE(matches("*a*b", "xaybza"));
  CHECK_FALSE(matches("billing.*", "billing"));
}
