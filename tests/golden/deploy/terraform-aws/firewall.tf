# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
# Who may reach whom: the world the load balancer, that the API, and containers what stores.

resource "aws_security_group" "door" {
  name        = "${var.name}-door"
  description = "The load balancer"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each          = toset(["80", "443"])
  security_group_id = aws_security_group.door.id
  description       = "Callers"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_egress_rule" "door_to_api" {
  security_group_id            = aws_security_group.door.id
  description                  = "The API"
  referenced_security_group_id = aws_security_group.container.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_security_group" "container" {
  name        = "${var.name}-container"
  description = "API, workers and the migration"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "api_from_door" {
  security_group_id            = aws_security_group.container.id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.door.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "container_out" {
  security_group_id = aws_security_group.container.id
  description       = "Providers and AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_security_group" "store" {
  name        = "${var.name}-store"
  description = "PostgreSQL and Redis"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "store_from_container" {
  for_each                     = toset(["5432", "6379"])
  security_group_id            = aws_security_group.store.id
  description                  = "API, workers and the migration"
  referenced_security_group_id = aws_security_group.container.id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.key)
  to_port                      = tonumber(each.key)
}
