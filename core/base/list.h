// SPDX-License-Identifier: MIT
// Intrusive doubly linked lists: a node unlinks itself when its owner dies, so nobody has to
// remember to. The Tag lets one object stand in several lists.
#pragma once

namespace relay {

template <class Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { Unlink(); }

  bool linked() const { return next_ != nullptr; }
  void Unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <class, class>
  friend class List;
  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

// T must derive from ListNode<Tag>. Owns nothing; a dying list lets its nodes go.
template <class T, class Tag>
class List {
  using Node = ListNode<Tag>;

 public:
  List() { head_.prev_ = head_.next_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (PopFront() != nullptr) {
    }
    head_.prev_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T* front() { return empty() ? nullptr : static_cast<T*>(head_.next_); }

  // Moves `item` here from whatever list of this Tag it stands in.
  void PushBack(T& item) {
    static_cast<Node&>(item).Unlink();  // it may be the last one here
    PutBehind(*head_.prev_, item);
  }
  // Likewise.
  void PushFront(T& item) {
    static_cast<Node&>(item).Unlink();
    PutBehind(head_, item);
  }
  // Puts `item`, which stands in no list of this Tag, behind the last one that is not after it, so
  // that a sorted list stays sorted.
  template <class Less>
  void InsertSorted(T& item, Less less) {
    Node* before = head_.prev_;
    while (before != &head_ && less(item, *static_cast<T*>(before))) before = before->prev_;
    PutBehind(*before, item);
  }
  // The first for which `wanted(const T&)` holds; null when there is none.
  template <class F>
  T* Find(F wanted) {
    for (Node* node = head_.next_; node != &head_; node = node->next_) {
      if (wanted(*static_cast<const T*>(node))) return static_cast<T*>(node);
    }
    return nullptr;
  }
  T* PopFront() {
    T* item = front();
    if (item != nullptr) static_cast<Node*>(item)->Unlink();
    return item;
  }
  // Appends all of `other`, which is empty afterwards.
  void Splice(List& other) {
    while (T* item = other.PopFront()) PushBack(*item);
  }
  // Calls f(T&) for each; f may unlink the item it was given, but no other.
  template <class F>
  void ForEach(F f) {
    for (Node* node = head_.next_; node != &head_;) {
      Node* next = node->next_;
      f(*static_cast<T*>(node));
      node = next;
    }
  }

 private:
  static void PutBehind(Node& before, Node& node) {
    node.prev_ = &before;
    node.next_ = before.next_;
    before.next_->prev_ = &node;
    before.next_ = &node;
  }

  Node head_;
};

}  // namespace relay
