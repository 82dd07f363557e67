# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
# What undercroft.toml describes stands in undercroft.auto.tfvars.json; it is rendered, so change it there.

variable "name" {
  description = "What the application is called, and all that belongs to it."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "image_tag" {
  description = "Tag of the image in the repository that this makes."
  type        = string
}

variable "environment" {
  description = "Variables of the containers that are no secrets."
  type        = map(string)
}

variable "given_secrets" {
  description = "Variables whose values you put into Secrets Manager yourself, each with the key of its secret."
  type        = map(string)
}

variable "api" {
  description = "The tasks that answer. CPU in thousandths of a core and memory in MiB, as Fargate has them."
  type = object({
    cpu          = number
    memory       = number
    replicas     = number
    max_replicas = number
    command      = list(string)
  })
}

variable "worker" {
  description = "The tasks that do jobs."
  type = object({
    cpu          = number
    memory       = number
    replicas     = number
    max_replicas = number
    command      = list(string)
  })
}

variable "has_redis" {
  description = "Whether there is a Redis for what processes share."
  type        = bool
}

# What only you know: write it into terraform.tfvars.

variable "domain" {
  description = "The name that callers use; it has to lie in the zone."
  type        = string

  validation {
    condition     = endswith(var.domain, var.zone)
    error_message = "The domain has to end with the zone's name."
  }
}

variable "zone" {
  description = "A public hosted zone of Route 53 that you have, for the certificate and the address."
  type        = string
}

variable "alert_email" {
  description = "Who is told of alarms, and of the budget."
  type        = string
}

variable "monthly_budget_usd" {
  description = "What a month may cost before somebody is told."
  type        = number
}

# What has a default that fits most.

variable "cidr" {
  description = "Addresses of the network."
  type        = string
  default     = "10.20.0.0/16"
}

variable "database" {
  description = "PostgreSQL: instance class, storage in GiB that it begins and ends with, and whether a second zone stands by."
  type = object({
    class           = optional(string, "db.t4g.medium")
    storage_gib     = optional(number, 50)
    max_storage_gib = optional(number, 500)
    multi_az        = optional(bool, true)
    backup_days     = optional(number, 14)
  })
  default = {}
}

variable "redis_node" {
  description = "Node type of Redis."
  type        = string
  default     = "cache.t4g.small"
}

variable "nat_per_zone" {
  description = "A NAT gateway for each zone: dearer, and a zone that fails takes no other along."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "How long CloudWatch keeps logs."
  type        = number
  default     = 30
}

variable "secret_version" {
  description = "Raise it to make the generated secrets anew; what ENCRYPTION_KEY has encrypted is lost then."
  type        = number
  default     = 1
}
